import { type End, type Lag, partitionName } from "../events/EventBus.ts"
import { beginning, type StoredPosition } from "./positionTable.ts"

/** How the log does not fit a position: records after the position are pruned, or the log ends before the position. */
export const lossOf = (next: number, end: End): "none" | "pruned" | "beyond" =>
  next > end.next ? "beyond" : next < end.first && next !== beginning ? "pruned" : "none"

/** What is lost at a position, for operators; undefined: nothing. `records`: how many, as far as that is known. */
export const lossAt = (
  { reaction, next, ...partition }: StoredPosition,
  end: End,
): { readonly records: number; readonly text: string } | undefined => {
  const loss = lossOf(next, end)
  if (loss === "none") return undefined
  const records = loss === "pruned" ? end.first - next : 1
  const text =
    loss === "pruned"
      ? `${records} records of ${partitionName(partition)} were pruned before ${reaction} had seen them`
      : `the log of ${partitionName(partition)} ends at ${end.next}, before the position ${next} of ${reaction}`
  return { records, text }
}

/** The records of each partition after the least of the positions in it; none in a partition without a position. */
export const lagOf = (ends: ReadonlyArray<End>, positions: ReadonlyArray<StoredPosition>): ReadonlyArray<Lag> =>
  ends.map(({ topic, partition, first, next: end }) => {
    const own = positions.filter((position) => position.topic === topic && position.partition === partition)
    const nexts = own.map(({ next }) => next)
    return {
      topic,
      partition,
      records: nexts.length === 0 ? 0 : Math.max(0, end - Math.max(Math.min(...nexts), first)),
    }
  })
