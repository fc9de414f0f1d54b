import { describe, expect, it } from "vitest"
import { isIdleAfter, queryOf, takeRequests } from "./messages.ts"

/** A message with a type, whose body is of no matter. */
const typed = (type: string, body = "") => {
  const bytes = Buffer.from(`${type}\0\0\0\0${body}`)
  bytes.writeInt32BE(bytes.length - 1, 1)
  return bytes
}

const [parse, bind, sync, terminate] = [typed("P", "select 1"), typed("B"), typed("S"), typed("X")]
const startUp = Buffer.concat([Buffer.from([0, 0, 0, 8]), Buffer.from([0, 3, 0, 0])])

const taken = (wasStarted: boolean, ...messages: ReadonlyArray<Buffer>) =>
  takeRequests(Buffer.concat(messages), wasStarted)

describe("The requests of a client", () => {
  it("end with a Sync, and what follows is the beginning of the next", () => {
    const { requests, rest } = taken(true, parse, bind, sync, parse)
    expect([requests, rest]).toEqual([Buffer.concat([parse, bind, sync]), parse])
  })

  it("end with a simple Query", () => {
    const query = queryOf("select 1")
    expect(taken(true, query)).toMatchObject({ requests: query, rest: Buffer.alloc(0) })
  })

  it("are taken together when there are several", () => {
    expect(taken(true, parse, sync, bind, sync).requests).toEqual(Buffer.concat([parse, sync, bind, sync]))
  })

  it("are not complete without a Sync, or while a byte is missing", () => {
    expect(taken(true, parse, bind).requests).toBeUndefined()
    expect(taken(true, parse, sync.subarray(0, -1)).requests).toBeUndefined()
    expect(taken(true, parse, sync.subarray(0, 3))).toMatchObject({ requests: undefined, isEnded: false })
  })

  it("begin with the start-up message, which has no type", () => {
    expect(taken(false, startUp.subarray(0, 6))).toMatchObject({ requests: undefined, isStarted: false })
    expect(taken(false, startUp)).toMatchObject({ requests: startUp, isStarted: true })
    expect(taken(false, startUp, parse)).toMatchObject({ requests: startUp, rest: parse })
  })

  it("end with Terminate, which is none of them", () => {
    expect(taken(true, parse, sync, terminate)).toMatchObject({ requests: Buffer.concat([parse, sync]), isEnded: true })
    expect(taken(true, terminate)).toMatchObject({ requests: undefined, isEnded: true })
  })
})

describe("An answer", () => {
  it("says whether a transaction is open", () => {
    const readyForQuery = (status: string) => typed("Z", status)
    expect(isIdleAfter(readyForQuery("I"))).toBe(true)
    expect(isIdleAfter(readyForQuery("T"))).toBe(false)
    expect(isIdleAfter(readyForQuery("E"))).toBe(false)
  })
})
