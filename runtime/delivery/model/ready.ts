// The entries of one key, and the marks that say which is to be tried next. A consumer queues events behind what it sees
// open, while the worker ends entries and marks the next.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** When the end of an entry marks the next of its key. */
  readonly marks: "in the same transaction" | "in another transaction" | "never"
  /** Who looks again for the first of a key, after a commit. */
  readonly looks: "both" | "the consumer" | "the worker" | "none"
  /** A walk over all keys, now and then. */
  readonly walks: boolean
  /** Whether what is queued is ready at once. */
  readonly queuesReady: boolean
  /** Whether the statement that locks an entry asks that no open one is before it. */
  readonly asks: boolean
  readonly kills: number
}

const right: Options = {
  marks: "in the same transaction",
  looks: "both",
  walks: false,
  queuesReady: false,
  asks: true,
  kills: 0,
}

interface Entry {
  event: number
  isOpen: boolean
  isReady: boolean
}

interface State {
  entries: Array<Entry>
  effects: Array<number>
  /** The consumer: the next event, and the entry that it has queued and not committed. */
  next: number
  queued: Entry | null
  /** The worker: the entry in hand, and the one that it saw behind it. */
  worker: { event: number; isEnded: boolean; marked: number | null } | null
  /** Who is to look again, and the mark that is to be set in another transaction. */
  looks: Array<string>
  mark: number | null
  kills: number
}

const most = 3

const firstOf = ({ entries }: State) => entries.find(({ isOpen }) => isOpen)

const markFirst = (state: State) => {
  const first = firstOf(state)
  if (first !== undefined) first.isReady = true
}

const mustLook = ({ looks }: Options, who: string) => looks === "both" || looks === `the ${who}`

const consuming = (options: Options, state: State, step: Step<State>) => {
  const { next: event, queued } = state
  if (queued !== null) {
    return step(`consumer: commits the entry of e${event}`, (next) => {
      next.entries.push(queued)
      next.entries.sort((a, b) => a.event - b.event)
      Object.assign(next, { queued: null, next: event + 1 })
      if (mustLook(options, "consumer")) next.looks = [...new Set([...next.looks, "consumer"])].sort()
    })
  }
  if (event === most) return
  const isHeld = firstOf(state) !== undefined
  if (event > 0 && !isHeld) {
    return step(`consumer: no entry is open, e${event} takes effect`, (next) => {
      next.effects.push(event)
      next.next++
    })
  }
  const isReady = event === 0 || options.queuesReady
  step(
    event === 0 ? "consumer: e0 fails, and becomes a dead letter" : `consumer: sees the key held, and queues e${event}`,
    (next) => {
      next.queued = { event, isOpen: true, isReady }
    },
  )
}

const working = (options: Options, state: State, step: Step<State>) => {
  const { worker, entries } = state
  if (worker === null) {
    for (const { event, isOpen, isReady } of entries) {
      const isFirst = firstOf(state)?.event === event
      if (!isOpen || !isReady || (options.asks && !isFirst)) continue
      step(`worker: locks the entry of e${event}`, (next) => {
        next.worker = { event, isEnded: false, marked: null }
      })
    }
    return
  }
  const { event, isEnded, marked } = worker
  if (!isEnded) {
    const behind = entries.find((entry) => entry.isOpen && entry.event > event)?.event ?? null
    const seen = options.marks === "never" ? null : behind
    return step(
      `worker: e${event} takes effect, ${seen === null ? "and it marks none" : `and it marks e${seen}`}`,
      (next) => {
        next.worker = { event, isEnded: true, marked: seen }
      },
    )
  }
  step(`worker: commits the end of e${event}`, (next) => {
    next.worker = null
    next.effects.push(event)
    next.entries = next.entries.filter((entry) => entry.event !== event)
    if (options.marks === "in another transaction") next.mark = marked
    else for (const entry of next.entries) if (entry.event === marked) entry.isReady = true
    if (marked === null && mustLook(options, "worker")) next.looks = [...new Set([...next.looks, "worker"])].sort()
  })
}

const looking = (options: Options, state: State, step: Step<State>) => {
  for (const who of state.looks) {
    step(`${who}: looks again for the first of the key`, (next) => {
      next.looks = next.looks.filter((other) => other !== who)
      markFirst(next)
    })
  }
  if (options.walks) step("walk: marks the first of the key", markFirst)
  if (state.mark !== null) {
    step(`worker: marks e${state.mark}, in another transaction`, (next) => {
      for (const entry of next.entries) if (entry.event === state.mark) entry.isReady = true
      next.mark = null
    })
  }
  if (state.kills === 0) return
  step("both processes are killed", (next) => {
    next.kills--
    Object.assign(next, { queued: null, worker: null, looks: [], mark: null })
  })
}

const ready = (options: Options): Model<State> => ({
  initial: {
    entries: [],
    effects: [],
    next: 0,
    queued: null,
    worker: null,
    looks: [],
    mark: null,
    kills: options.kills,
  },
  steps: (state, step) => {
    consuming(options, state, step)
    working(options, state, step)
    looking(options, state, step)
  },
  violation: ({ effects }) =>
    effects.every((event, n) => event === n)
      ? undefined
      : `out of order: ${effects.map((event) => `e${event}`).join(" ")}`,
  isDone: ({ effects }) => effects.length === most,
})

const of = variantsOf("The next of a key", right, ready)

export const variants: ReadonlyArray<Variant> = [
  of("holds", "the end of an entry marks the next; after its commit each side looks again", {}),
  of("holds", "the same, with kill -9 at any moment and a walk over all keys", { kills: 2, walks: true }),
  of("breaks", "the end of an entry marks the next, and neither side looks again", { looks: "none" }),
  of("breaks", "only the consumer looks again after its commit", { looks: "the consumer" }),
  of("breaks", "only the worker looks again after its commit", { looks: "the worker" }),
  of("breaks", "both look again, a process is killed before, and there is no walk over all keys", { kills: 1 }),
  of(
    "breaks",
    "the mark is set in another transaction, a process is killed before, and there is no walk over all keys",
    { marks: "in another transaction", kills: 1 },
  ),
  of("breaks", "what is queued is ready at once, and the worker takes what is ready", {
    queuesReady: true,
    asks: false,
  }),
]
