import { describe, expect, it } from "vitest"
import { type Footprint, growth, margins } from "./footprint.ts"

const footprint: Footprint = {
  processes: [{ name: "user 1", megabytes: 200, sockets: 20, files: 40 }],
  disk: 30,
  outbox: 1,
  made: 500,
  orderMillis: 10,
  behind: 0,
}
const withHold = (change: object) => ({ ...footprint, processes: [{ ...footprint.processes[0]!, ...change }] })

describe("The footprint of a deployment", () => {
  it("may grow a little, and on the disk with each order", () => {
    expect(growth(footprint, footprint, true)).toEqual([])
    const { megabytes, sockets, files } = margins
    expect(
      growth(footprint, withHold({ megabytes: 200 + megabytes, sockets: 20 + sockets, files: 40 + files }), true),
    ).toEqual([])
    expect(growth(footprint, { ...footprint, made: 64_500, disk: 1_000 }, true)).toEqual([])
  })

  it("may grow in memory while that is not judged", () => {
    expect(growth(footprint, withHold({ megabytes: 900 }), false)).toEqual([])
  })

  it.each([
    ["memory", withHold({ megabytes: 201 + margins.megabytes }), /^megabytes of user 1: /u],
    ["sockets", withHold({ sockets: 21 + margins.sockets }), /^sockets of user 1: /u],
    ["files", withHold({ files: 41 + margins.files }), /^files of user 1: /u],
    ["the disk", { ...footprint, made: 564, disk: 32 + margins.disk }, /^megabytes of the databases /u],
    ["an outbox", { ...footprint, outbox: 2 + margins.outbox }, /^megabytes of an outbox /u],
    ["the time for an order", { ...footprint, orderMillis: 100 }, /^milliseconds for an order: /u],
    ["what is behind", { ...footprint, behind: 1 }, /^records and events that are behind: /u],
    ["the dead", { ...footprint, processes: [] }, /^user 1 does not run any more$/u],
  ])("must not grow in %s", (_what, after, said) => {
    expect(growth(footprint, after, true)).toEqual([expect.stringMatching(said)])
  })
})
