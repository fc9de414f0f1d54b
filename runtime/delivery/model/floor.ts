// The floor of the outbox: a seq up to which no row can appear any more, so that a relay need not look there. Writers take
// transaction ids and seq in their order, the relay has a sequence's value and what a snapshot says of transactions.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** What a writer takes first. */
  readonly takesFirst: "its transaction id" | "seq"
  /** What the relay measures first. */
  readonly measuresFirst: "the sequence" | "the transaction id"
  /** What older transactions are told by. A snapshot's xmax follows the last that has ended, not the last that has begun. */
  readonly olderThan: "a transaction id of its own" | "a snapshot's xmax"
  /** When the floor may be raised. */
  readonly raises: "when older transactions have ended" | "at once"
  /** Whether the floor stays below what is in flight. */
  readonly sparesFlight: boolean
  /** Whether a sequence that was never called counts as 0; its last value is 1. */
  readonly knowsUnused: boolean
}

const right: Options = {
  takesFirst: "its transaction id",
  measuresFirst: "the sequence",
  olderThan: "a transaction id of its own",
  raises: "when older transactions have ended",
  sparesFlight: true,
  knowsUnused: true,
}

interface Writer {
  xid: number | null
  seq: number | null
  hasEnded: boolean
}

interface State {
  writers: Array<Writer>
  nextXid: number
  /** The greatest transaction id that has ended. */
  lastEnded: number
  lastSeq: number
  /** Committed rows. */
  rows: Array<number>
  sent: Array<number>
  /** The relay: what it measured, the row in flight, and the floor. */
  sequence: number | null
  horizon: number | null
  flight: number | null
  floor: number
  /** How often the relay still measures, and a send still fails. */
  measures: number
  fails: number
}

const most = 3

const writing = (options: Options, w: number, state: State, step: Step<State>) => {
  const { xid, seq, hasEnded } = state.writers[w]!
  if (hasEnded) return
  const isXidFirst = options.takesFirst === "its transaction id"
  if (xid === null && (isXidFirst || seq !== null)) {
    return step(`writer ${w}: gets the transaction id ${state.nextXid}`, (next) => {
      next.writers[w]!.xid = next.nextXid++
    })
  }
  if (seq === null) {
    return step(`writer ${w}: takes seq ${state.lastSeq + 1}`, (next) => {
      next.writers[w]!.seq = ++next.lastSeq
    })
  }
  step(`writer ${w}: commits seq ${seq}`, (next) => {
    ends(next, w, xid!)
    next.rows = [...next.rows, seq].sort((a, b) => a - b)
  })
  step(`writer ${w}: rolls back seq ${seq}`, (next) => ends(next, w, xid!))
}

const ends = (state: State, w: number, xid: number) => {
  state.writers[w]!.hasEnded = true
  state.lastEnded = Math.max(state.lastEnded, xid)
}

/** As PostgreSQL takes a snapshot: what has a greater id than the last that has ended is not looked at. */
const xmaxOf = ({ lastEnded }: State) => lastEnded + 1

const xminOf = (state: State) =>
  Math.min(xmaxOf(state), ...state.writers.flatMap(({ xid, hasEnded }) => (xid === null || hasEnded ? [] : [xid])))

const measuring = (options: Options, state: State, step: Step<State>) => {
  const { sequence, horizon, lastSeq, nextXid, measures } = state
  if (measures === 0) return
  const isSequenceFirst = options.measuresFirst === "the sequence"
  if (sequence === null && (isSequenceFirst || horizon !== null)) {
    const value = options.knowsUnused ? lastSeq : Math.max(1, lastSeq)
    return step(`relay: reads the sequence: ${value}`, (next) => {
      next.sequence = value
    })
  }
  if (horizon === null && options.olderThan === "a snapshot's xmax") {
    return step(`relay: takes a snapshot, whose xmax is ${xmaxOf(state)}`, (next) => {
      next.horizon = xmaxOf(state)
    })
  }
  if (horizon === null) {
    return step(`relay: gets the transaction id ${nextXid}, and ends`, (next) => {
      next.horizon = next.lastEnded = next.nextXid++
    })
  }
  const xmin = xminOf(state)
  if (options.raises === "when older transactions have ended" && xmin < horizon) return
  const first = state.rows.find((seq) => options.sparesFlight || seq !== state.flight) ?? Infinity
  const floor = Math.max(state.floor, Math.min(sequence!, first - 1))
  step(`relay: reads with a snapshot whose xmin is ${xmin}, and raises the floor to ${floor}`, (next) => {
    Object.assign(next, { floor, sequence: null, horizon: null, measures: next.measures - 1 })
  })
}

const sending = ({ rows, flight, floor, fails }: State, step: Step<State>) => {
  if (flight === null) {
    const seq = rows.find((seq) => seq > floor)
    if (seq === undefined) return
    return step(`relay: sends seq ${seq}`, (next) => {
      next.flight = seq
    })
  }
  step(`relay: deletes seq ${flight}`, (next) => {
    next.rows = next.rows.filter((seq) => seq !== flight)
    next.sent = [...next.sent, flight].sort((a, b) => a - b)
    next.flight = null
  })
  if (fails === 0) return
  step(`relay: the send of seq ${flight} fails`, (next) => {
    next.fails--
    next.flight = null
  })
}

const floor = (options: Options): Model<State> => ({
  initial: {
    writers: Array.from({ length: most }, () => ({ xid: null, seq: null, hasEnded: false })),
    nextXid: 100,
    lastEnded: 99,
    lastSeq: 0,
    rows: [],
    sent: [],
    sequence: null,
    horizon: null,
    flight: null,
    floor: 0,
    measures: 2,
    fails: 1,
  },
  steps: (state, step) => {
    for (const w of state.writers.keys()) writing(options, w, state, step)
    measuring(options, state, step)
    sending(state, step)
  },
  violation: ({ rows, flight, floor }) => {
    const hidden = rows.filter((seq) => seq <= floor && seq !== flight)
    return hidden.length > 0 ? `never sent: seq ${hidden.join(" ")}, since the floor is ${floor}` : undefined
  },
  isDone: ({ rows, writers }) => rows.length === 0 && writers.every(({ hasEnded }) => hasEnded),
})

const of = variantsOf("The outbox floor", right, floor)

export const variants: ReadonlyArray<Variant> = [
  of(
    "holds",
    "the sequence, then a transaction id, then a read whose xmin has reached it; writers have their id before seq",
    {},
    { isSlow: true },
  ),
  of("breaks", "a writer takes seq before it has a transaction id", { takesFirst: "seq" }),
  of("breaks", "a snapshot's xmax instead of a transaction id of the relay's own", { olderThan: "a snapshot's xmax" }),
  of("breaks", "the sequence and the transaction id in one statement", { measuresFirst: "the transaction id" }),
  of("breaks", "the floor is the sequence's value at once", { raises: "at once" }),
  of("breaks", "the floor passes what is in flight", { sparesFlight: false }),
  of("breaks", "a sequence that was never called counts as 1", { knowsUnused: false }),
]
