import type { Partition, Span } from "../events/EventBus.ts"
import type { Delivery } from "./Delivery.ts"

const placeOf = ({ topic, partition }: Partition) => `${topic}/${partition}`

/** How far a call of `handle` has got in each of the partitions that it covers. */
export const makeProgress = (spans: ReadonlyArray<Span>) => {
  const left = new Map(spans.map((span) => [placeOf(span), span]))
  return {
    /** What is done with these deliveries: up to the last record that has no other delivery after them. */
    after: (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<Span> => {
      const ends = new Map(
        deliveries.filter(({ isLast }) => isLast).map(({ record }) => [placeOf(record), record.offset + 1]),
      )
      return [...ends].flatMap(([place, next]) => {
        const span = left.get(place)
        return span === undefined || next <= span.from ? [] : [{ ...span, next }]
      })
    },
    /** These are done: the next begins behind them. */
    done: (spans: ReadonlyArray<Span>) => {
      for (const span of spans) left.set(placeOf(span), { ...left.get(placeOf(span))!, from: span.next })
    },
    /** What is left once every delivery is done: records without any. */
    rest: (): ReadonlyArray<Span> => [...left.values()].filter(({ from, next }) => from < next),
  }
}

export type Progress = ReturnType<typeof makeProgress>
