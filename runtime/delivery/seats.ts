import { type Partition, partitionName } from "../events/EventBus.ts"
import { type Move, positionName, type StoredPosition } from "./positionTable.ts"

/**
 * The partitions that are assigned to this process, each with the positions of the reactions that it gives the records
 * to (DELIVERY.md, *Positions*: a seat).
 */
export const makeSeats = () => {
  const seats = new Map<string, Map<string, StoredPosition>>()
  return {
    /** Begins a seat, with the positions as they were read. */
    begin: (partition: Partition, positions: ReadonlyArray<StoredPosition>) =>
      void seats.set(partitionName(partition), new Map(positions.map((position) => [position.reaction, position]))),

    of: (partition: Partition): ReadonlyArray<StoredPosition> => [
      ...(seats.get(partitionName(partition))?.values() ?? []),
    ],

    all: (): ReadonlyArray<StoredPosition> => [...seats.values()].flatMap((own) => [...own.values()]),

    /**
     * The first of the moves that does not follow from the stored positions, which are given by `positionName`: the
     * position is gone, before what is done, or was moved by something other than a consumer.
     */
    refused: (moves: ReadonlyArray<Move>, stored: ReadonlyMap<string, StoredPosition>): Move | undefined =>
      moves.find((move) => {
        const position = stored.get(positionName(move.reaction, move))
        const seat = seats.get(partitionName(move))?.get(move.reaction)
        return position === undefined || position.next < move.from || position.epoch !== seat?.epoch
      }),

    /** Keeps a move that was committed: by this a database that goes back is noticed, also while nothing arrives. */
    moved: (move: Move) => {
      const seat = seats.get(partitionName(move))
      const position = seat?.get(move.reaction)
      if (position !== undefined && position.next < move.next) {
        seat!.set(move.reaction, { ...position, next: move.next })
      }
    },
  }
}

/** Whether the stored positions are those known, or were moved forward by consumers alone. */
export const isSame = (known: ReadonlyArray<StoredPosition>, stored: ReadonlyArray<StoredPosition>): boolean => {
  const found = new Map(stored.map((position) => [positionName(position.reaction, position), position]))
  return (
    found.size === known.length &&
    known.every((position) => {
      const now = found.get(positionName(position.reaction, position))
      return now !== undefined && now.epoch === position.epoch && now.next >= position.next
    })
  )
}
