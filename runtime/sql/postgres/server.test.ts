import { describe, expect, it } from "vitest"
import { faultIn } from "./server.ts"

const good = { version: 140_000, encoding: "UTF8", page: 8_192 }

describe("A database", () => {
  it.each([good, { ...good, version: 180_004 }, { ...good, page: 32_768 }])("is used: %j", (server) => {
    expect(faultIn(server)).toBeUndefined()
  })

  it.each([
    [{ version: 130_022 }, "PostgreSQL 14 or later is needed, and this is 13"],
    [{ version: 90_624 }, "PostgreSQL 14 or later is needed, and this is 9"],
    [
      { encoding: "SQL_ASCII" },
      "its encoding is SQL_ASCII, not UTF8: create it with encoding 'UTF8' template template0",
    ],
    [{ page: 4_096 }, "its block_size is 4096, less than 8192 bytes: keys do not fit"],
  ])("is refused with %j", (other, fault) => {
    expect(faultIn({ ...good, ...other })).toBe(fault)
  })
})
