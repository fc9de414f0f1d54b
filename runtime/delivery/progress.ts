import { partitionName, type Span } from "../events/EventBus.ts"
import type { Delivery } from "./Delivery.ts"

/** The progress of a call of `handle` in each partition that it covers. */
export const makeProgress = (spans: ReadonlyArray<Span>) => {
  const left = new Map(spans.map((span) => [partitionName(span), span]))
  return {
    /** The spans that these deliveries cover: up to the last record whose deliveries are all done; it may be empty. */
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
    /** Marks spans as done. */
    done: (spans: ReadonlyArray<Span>) => {
      for (const span of spans) left.set(partitionName(span), { ...left.get(partitionName(span))!, from: span.next })
    },
    /** The spans that are left when every delivery is done: records without deliveries. */
    rest: (): ReadonlyArray<Span> => [...left.values()].filter(({ from, next }) => from < next),
    /** The first offset in the partition of a delivery that is not done; undefined: the call covers no span of it. */
    from: ({ record }: Delivery): number | undefined => left.get(partitionName(record))?.from,
  }
}

export type Progress = ReturnType<typeof makeProgress>
