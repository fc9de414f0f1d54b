import { describe, expect, it } from "vitest"
import { type Floor, raised, type Reading, unknown, wantsXid } from "./floor.ts"

/** What reads say of an outbox in one file, where transaction ids are only taken by the relay. */
const reading = (change: Partial<Reading>): Reading => ({
  at: 0n,
  file: 1,
  sequence: 0n,
  xmin: 0n,
  xid: null,
  ...change,
})

/** The floor after these reads, each of which finds that row first. */
const after = (...reads: ReadonlyArray<readonly [Partial<Reading>, lowest?: bigint]>) =>
  reads.reduce<Floor>((floor, [change, lowest]) => raised(floor, reading({ at: floor.at, ...change }), lowest), unknown)

describe("The floor of the outbox", () => {
  it("rises to the sequence by three reads, when all that had an id at the second have ended at the third", () => {
    expect(after([{ sequence: 9n }], [{ sequence: 9n, xid: 5n }], [{ sequence: 12n, xmin: 5n }]).at).toBe(9n)
    expect(after([{ sequence: 9n }], [{ sequence: 9n, xid: 5n }], [{ sequence: 9n, xmin: 4n }]).at).toBe(0n)
  })

  it("does not rise by an id that was taken in the statement that read the sequence", () => {
    const both = { sequence: 9n, xid: 5n, xmin: 5n }
    expect(after([both], [{ sequence: 9n, xmin: 5n }]).at).toBe(0n)
    expect(after([both], [{ sequence: 9n, xid: 7n, xmin: 5n }], [{ sequence: 9n, xmin: 6n }]).at).toBe(0n)
  })

  it("stays below the first row that is found or in flight, and never sinks", () => {
    const measured = [[{ sequence: 9n }], [{ sequence: 9n, xid: 5n }]] as const
    expect(after(...measured, [{ sequence: 9n, xmin: 5n }, 7n]).at).toBe(6n)
    const again = [[{ sequence: 9n, xid: 6n }], [{ sequence: 9n, xmin: 6n }, 3n]] as const
    expect(after(...measured, [{ sequence: 9n, xmin: 5n }], ...again).at).toBe(9n)
  })

  it("starts again when the table is another one, or its sequence was set back", () => {
    const raisedTo9 = [[{ sequence: 9n }], [{ sequence: 9n, xid: 5n }], [{ sequence: 9n, xmin: 5n }]] as const
    const measured = [[{ sequence: 20n }], [{ sequence: 20n, xid: 7n }]] as const
    for (const other of [{ file: 2, sequence: 20n }, { sequence: 8n }]) {
      expect(after(...raisedTo9, ...measured, [{ ...other, at: 0n, xmin: 7n }])).toMatchObject({
        at: 0n,
        horizon: null,
      })
    }
  })

  it("asks for a transaction id only when it can rise", () => {
    expect(wantsXid(unknown)).toBe(false)
    expect(wantsXid(after([{ sequence: 9n }]))).toBe(true)
    expect(wantsXid(after([{ sequence: 9n }], [{ sequence: 9n, xid: 5n }]))).toBe(false)
    const risen = after([{ sequence: 9n }], [{ sequence: 9n, xid: 5n }], [{ sequence: 9n, xmin: 5n }])
    expect(wantsXid(risen)).toBe(false)
  })
})
