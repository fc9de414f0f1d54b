import { createRequire } from "node:module"
import { describe, expect, it } from "vitest"
import { withSmallEncoders } from "./encoder.ts"

const require = createRequire(import.meta.url)

interface Encoder {
  readonly buffer: Buffer
  readonly buf: Buffer
  writeUVarInt(value: number): Encoder
  writeVarInt(value: number): Encoder
  writeString(text: string): Encoder
}
type Record = (record: object) => Encoder

/** A copy of kafkajs' code of its own. */
const load = () => {
  for (const path of Object.keys(require.cache)) if (path.includes("/kafkajs/")) delete require.cache[path]
  return {
    Encoder: require("kafkajs/src/protocol/encoder") as new (size?: number) => Encoder,
    record: require("kafkajs/src/protocol/recordBatch/record/v0") as Record,
  }
}

const plain = load()
const small = load()
withSmallEncoders()

describe("An encoder of kafkajs", () => {
  it("takes no memory before it writes, and little for a header", () => {
    expect(new plain.Encoder().buf).toHaveLength(512)
    expect(new small.Encoder().buf).toHaveLength(0)
    expect(new small.Encoder().writeString("a header").buf).toHaveLength(128)
    expect(new small.Encoder(1_000).buf).toHaveLength(1_024)
  })

  it.each([0, 1, 127, 128, 300, 16_383, 16_384, 2 ** 21, 2 ** 28, 2 ** 31 - 1, -1, -64, -65, -(2 ** 31)])(
    "writes the number %d as before",
    (value) => {
      for (const write of ["writeVarInt", "writeUVarInt"] as const) {
        expect(new small.Encoder()[write](value).buffer).toEqual(new plain.Encoder()[write](value).buffer)
      }
    },
  )

  it.each([0, 1, 100, 126, 127, 128, 511, 512, 10_000])(
    "writes a record with texts of %d bytes as before",
    (length) => {
      const text = "é".padEnd(length, "x").slice(0, length)
      const record = {
        offsetDelta: length,
        timestampDelta: length * 1_000,
        key: Buffer.from(text),
        value: Buffer.from(text),
        headers: { ce_id: text, [`ce_${text}`]: "1", several: ["a", text] },
      }
      expect(small.record(record).buffer).toEqual(plain.record(record).buffer)
      expect(small.record({ ...record, key: null, value: null }).buffer).toEqual(
        plain.record({ ...record, key: null, value: null }).buffer,
      )
    },
  )
})
