import { partitionName, type Span } from "../events/EventBus.ts"
import type { Delivery } from "./Delivery.ts"

/** How far a call of `handle` has got in each of the partitions that it covers. */
export const makeProgress = (spans: ReadonlyArray<Span>) => {
  const left = new Map(spans.map((span) => [partitionName(span), span]))
  return {
    /**
     * What these deliveries cover: up to the last record that has no other delivery after them, which may be nothing of a
     * partition.
     */
    covers: (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<Span> => {
      const ends = new Map<string, number | undefined>()
      for (const { record, isLast } of deliveries) {
        ends.set(partitionName(record), isLast ? record.offset + 1 : ends.get(partitionName(record)))
      }
      return [...ends].flatMap(([place, end]) => {
        const span = left.get(place)
        return span === undefined ? [] : [{ ...span, next: Math.max(span.from, end ?? span.from) }]
      })
    },
    /** These are done: the next begins behind them. */
    done: (spans: ReadonlyArray<Span>) => {
      for (const span of spans) left.set(partitionName(span), { ...left.get(partitionName(span))!, from: span.next })
    },
    /** What is left once every delivery is done: records without any. */
    rest: (): ReadonlyArray<Span> => [...left.values()].filter(({ from, next }) => from < next),
    /** From where on the partition of a delivery is not done. */
    from: ({ record }: Delivery): number | undefined => left.get(partitionName(record))?.from,
  }
}

export type Progress = ReturnType<typeof makeProgress>
