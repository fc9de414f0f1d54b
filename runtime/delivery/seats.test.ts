import { describe, expect, it } from "vitest"
import { positionName, type StoredPosition } from "./positionTable.ts"
import { isSame, makeSeats } from "./seats.ts"

const place = { topic: "order_created", partition: 0 }
const other = { topic: "order_created", partition: 1 }
const at = (next: number, epoch = 0, reaction = "user.record-order"): StoredPosition => ({
  ...place,
  reaction,
  next,
  epoch,
})
const byName = (...positions: ReadonlyArray<StoredPosition>) =>
  new Map(positions.map((position) => [positionName(position.reaction, position), position]))

const seated = (...positions: ReadonlyArray<StoredPosition>) => {
  const seats = makeSeats()
  seats.begin(place, positions)
  return seats
}

describe("The seats of a process", () => {
  const move = { ...place, reaction: "user.record-order", from: 3, next: 5 }

  it("have the positions with which they began", () => {
    const seats = seated(at(3))
    seats.begin(other, [])
    expect([seats.of(place), seats.of(other), seats.all()]).toEqual([[at(3)], [], [at(3)]])
    seats.begin(place, [])
    expect(seats.all()).toEqual([])
  })

  it("allow a move that follows from the stored position", () => {
    expect(seated(at(3)).refused([move], byName(at(3)))).toBeUndefined()
  })

  it("allow a move behind another member, which was quicker", () => {
    expect(seated(at(3)).refused([move], byName(at(7)))).toBeUndefined()
  })

  it.each([
    ["is gone", [], seated(at(3))],
    ["went back, as in a database that is restored", [at(2)], seated(at(3))],
    ["has another epoch, as after a replay", [at(3, 1)], seated(at(3))],
    ["has no seat here", [at(3)], makeSeats()],
  ] as const)("refuse a move whose position %s", (_what, stored, seats) => {
    expect(seats.refused([move], byName(...stored))).toBe(move)
  })

  it("keep a move, and never move back", () => {
    const seats = seated(at(3))
    seats.moved(move)
    expect(seats.of(place)).toEqual([at(5)])
    seats.moved({ ...move, next: 4 })
    seats.moved({ ...move, reaction: "user.unknown" })
    seats.moved({ ...move, ...other })
    expect(seats.all()).toEqual([at(5)])
  })
})

describe("Stored positions", () => {
  it.each([
    ["as they were", [at(3)], true],
    ["moved forward", [at(4)], true],
    ["moved back", [at(2)], false],
    ["of another epoch", [at(3, 1)], false],
    ["that are gone", [], false],
    ["with those of a reaction that could not be read before", [at(3), at(3, 0, "user.added")], false],
  ] as const)("are compared with what is known: %s", (_what, stored, expected) => {
    expect(isSame([at(3)], stored)).toBe(expected)
  })
})
