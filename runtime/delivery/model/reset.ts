// The reset of a reaction, in many transactions, beside the consumer and the retry worker, by a process that may die. A
// transaction of the consumer is one step here: position.ts has its statements.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** What the first transaction does with the position: takes it away, leaves it, or moves it to the beginning. */
  readonly position: "taken away" | "left" | "moved back"
  /** What says, after a crash, that a reset is to go on. */
  readonly intent: "a row" | "memory"
  readonly order:
    | "dead letters, projection, inbox"
    | "dead letters, inbox, projection"
    | "projection, dead letters, inbox"
  /** Whether the reset waits for workers that have an unreadable record in hand. */
  readonly waits: boolean
  /** When a worker asks whether its reaction is being reset. */
  readonly asks: "after it has locked" | "before it locks" | "never"
  /** What each transaction of a reset looks for before it goes on. */
  readonly checks: "its intent" | "an intent" | "nothing"
  readonly resets: number
  readonly processes: number
  readonly crashes: number
}

const right: Options = {
  position: "taken away",
  intent: "a row",
  order: "dead letters, projection, inbox",
  waits: true,
  asks: "after it has locked",
  checks: "its intent",
  resets: 1,
  processes: 1,
  crashes: 0,
}

/** r0 and r2 are of one key; r1 cannot be read when it comes, so it becomes a dead letter for all reactions, without a key. */
const unreadable = 1
const most = 3

interface Rows {
  /** Null: the reaction is not to be read. */
  next: number | null
  epoch: number
  inbox: Array<number>
  /** The projection: which records have taken effect, in that order. */
  effects: Array<number>
  /** The open entries of the reaction, in order. */
  held: Array<number>
  /** The entry of the unreadable record. */
  unread: "none" | "open" | "ended"
  /** The reset that is under way. */
  intent: number | null
}

interface State {
  rows: Rows
  /** The consumer: the row as it knows it. */
  own: { next: number; epoch: number } | null
  /** The worker: the entry that it has locked, or means to lock. */
  worker: { record: number; isLocked: boolean; hasAsked: boolean; takes: boolean | null } | null
  /** Processes that reset: the next part of each, and the intent that it found. */
  runs: Array<{ stage: number; intent: number } | null>
  resets: number
  fails: number
  crashes: number
}

const named = (records: ReadonlyArray<number>) =>
  records.length === 0 ? "nothing" : records.map((record) => `r${record}`).join(" ")

const consuming = ({ rows, own, fails, worker }: State, step: Step<State>) => {
  const { next, epoch } = rows
  if (own === null) {
    if (next === null) return
    return step(`consumer: reads its row: position ${next}`, (after) => {
      after.own = { next, epoch }
    })
  }
  if (next === null || own.epoch !== epoch || own.next > next) {
    return step("consumer: finds its row changed and begins again", (after) => {
      after.own = null
    })
  }
  if (own.next >= most || (own.next === unreadable && worker?.takes === true)) return
  const record = own.next
  const take = (what: string, change: (rows: Rows) => void) =>
    step(`consumer: takes r${record}: ${what}`, (after) => {
      after.rows.next = Math.max(next, record + 1)
      after.own!.next = record + 1
      change(after.rows)
    })
  if (record === unreadable && rows.unread === "none") {
    return take("it cannot be read, and becomes a dead letter", (rows) => {
      rows.unread = "open"
    })
  }
  if (rows.inbox.includes(record)) return take("it is known", () => {})
  const taken = (rows: Rows) => {
    rows.inbox = [...rows.inbox, record].sort((a, b) => a - b)
  }
  if (record !== unreadable && rows.held.length > 0) {
    return take("it waits behind another", (rows) => {
      taken(rows)
      rows.held.push(record)
    })
  }
  take("it takes effect", (rows) => {
    taken(rows)
    rows.effects.push(record)
  })
  if (record !== 0 || fails === 0) return
  step(`consumer: takes r${record}: it fails, and becomes a dead letter`, (after) => {
    after.fails--
    after.rows.next = Math.max(next, record + 1)
    after.own!.next = record + 1
    taken(after.rows)
    after.rows.held.push(record)
  })
}

const working = ({ asks }: Options, { rows, worker }: State, step: Step<State>) => {
  if (worker === null) {
    const heads = [...rows.held.slice(0, 1), ...(rows.unread === "open" ? [unreadable] : [])]
    for (const record of heads) {
      step(`worker: means to take r${record}${asks === "before it locks" ? ", asks: no reset runs" : ""}`, (after) => {
        after.worker = { record, isLocked: false, hasAsked: asks !== "after it has locked", takes: null }
        if (asks === "before it locks" && rows.intent !== null) after.worker = null
      })
    }
    return
  }
  const { record, isLocked, hasAsked, takes } = worker
  const isOpen = record === unreadable ? rows.unread === "open" : rows.held[0] === record
  if (!isLocked) {
    return step(isOpen ? `worker: locks the entry of r${record}` : `worker: r${record} has ended`, (after) => {
      if (isOpen) after.worker!.isLocked = true
      else after.worker = null
    })
  }
  if (!hasAsked) {
    return step(
      rows.intent !== null ? `worker: asks, and leaves r${record} to the reset` : "worker: asks: no reset runs",
      (after) => {
        if (rows.intent !== null) after.worker = null
        else after.worker!.hasAsked = true
      },
    )
  }
  if (takes === null) {
    const isNew = record !== unreadable || !rows.inbox.includes(record)
    return step(
      isNew ? `worker: r${record} takes effect, not committed yet` : `worker: r${record} is known`,
      (after) => {
        after.worker!.takes = isNew
      },
    )
  }
  step(`worker: commits r${record}`, (after) => {
    const { rows } = after
    if (takes) rows.effects.push(record)
    if (takes && !rows.inbox.includes(record)) rows.inbox = [...rows.inbox, record].sort((a, b) => a - b)
    if (record === unreadable) rows.unread = "ended"
    else rows.held = rows.held.filter((held) => held !== record)
    after.worker = null
  })
}

/** Does one transaction of a reset; undefined: it waits for the worker. */
type Part = (
  state: State,
) => { readonly what: string; readonly change: (rows: Rows) => void; readonly isMore?: boolean } | undefined

const deadLetters: Part = ({ rows, worker }) => {
  const isFree = (record: number) => worker === null || !worker.isLocked || worker.record !== record
  const record = rows.held.find(isFree)
  if (record === undefined && rows.held.length > 0) return undefined
  if (record === undefined) return { what: "finds no dead letter any more", change: () => {} }
  return {
    what: `deletes the dead letter of r${record}`,
    change: (rows) => {
      rows.held = rows.held.filter((held) => held !== record)
    },
    isMore: true,
  }
}

const projection: Part = ({ rows }) => ({
  what: `clears the projection of ${named(rows.effects)}`,
  change: (rows) => {
    rows.effects = []
  },
})

const inbox: Part = ({ rows }) => {
  const [record] = rows.inbox
  if (record === undefined) return { what: "finds no inbox row any more", change: () => {} }
  return {
    what: `deletes the inbox row of r${record}`,
    change: (rows) => {
      rows.inbox = rows.inbox.filter((taken) => taken !== record)
    },
    isMore: true,
  }
}

const unreadableInHand: Part = ({ worker }) =>
  worker?.isLocked === true && worker.record === unreadable
    ? undefined
    : { what: "has locked the unreadable records, one after the other", change: () => {} }

const parts = { "dead letters": deadLetters, projection, inbox }

const planOf = ({ waits, order }: Options): ReadonlyArray<Part> => [
  ...(waits ? [unreadableInHand] : []),
  ...order.split(", ").map((name) => parts[name as keyof typeof parts]),
]

const running = (options: Options, p: number, state: State, step: Step<State>) => {
  const { rows, runs } = state
  const { stage, intent } = runs[p]!
  const plan = planOf(options)
  const end = (after: State) => {
    after.runs[p] = null
  }
  const isOver = options.checks === "its intent" ? rows.intent !== intent : rows.intent === null
  if (options.checks !== "nothing" && isOver) return step(`reset ${p}: finds that its intent is gone and ends`, end)
  if (state.crashes > 0) {
    step(`reset ${p}: its process is killed`, (after) => {
      after.crashes--
      end(after)
    })
  }
  if (stage === plan.length) {
    return step(`reset ${p}: moves the position to 0 and ends the intent`, (after) => {
      end(after)
      Object.assign(after.rows, { intent: null, next: 0, epoch: rows.epoch + 1 })
    })
  }
  const part = plan[stage]!(state)
  if (part === undefined) return
  step(`reset ${p}: ${part.what}`, (after) => {
    part.change(after.rows)
    if (part.isMore !== true) after.runs[p]!.stage = stage + 1
  })
}

const beginning = (options: Options, p: number, { rows, resets }: State, step: Step<State>) => {
  const { intent } = rows
  if (intent !== null) {
    if (options.intent === "memory") return
    return step(`reset ${p}: finds the intent and goes on`, (after) => {
      after.runs[p] = { stage: 0, intent }
    })
  }
  if (resets === 0) return
  step(`reset ${p}: writes the intent ${resets}`, (after) => {
    after.resets--
    after.runs[p] = { stage: 0, intent: resets }
    after.rows.intent = resets
    if (options.position === "left") return
    after.rows.epoch++
    after.rows.next = options.position === "taken away" ? null : 0
  })
}

const violation = ({ rows }: State): string | undefined => {
  const { next, effects, held, unread, intent } = rows
  if (new Set(effects).size < effects.length) return `took effect twice: ${named(effects)}`
  if (intent !== null || next === null) return undefined
  if (effects.includes(2) && !effects.slice(0, effects.indexOf(2)).includes(0))
    return `took effect out of order: ${named(effects)}`
  for (let record = 0; record < next; record++) {
    const isThere = effects.includes(record) || held.includes(record) || (record === unreadable && unread === "open")
    if (!isThere) return `lost: the position is ${next}, and r${record} took no effect`
  }
  return undefined
}

const reset = (options: Options): Model<State> => ({
  initial: {
    rows: { next: 0, epoch: 0, inbox: [], effects: [], held: [], unread: "none", intent: null },
    own: null,
    worker: null,
    runs: Array.from({ length: options.processes }, () => null),
    resets: options.resets,
    fails: 1,
    crashes: options.crashes,
  },
  steps: (state, step) => {
    consuming(state, step)
    working(options, state, step)
    for (const [p, run] of state.runs.entries()) {
      if (run === null) beginning(options, p, state, step)
      else running(options, p, state, step)
    }
  },
  violation,
  isDone: ({ rows, resets }) =>
    resets === 0 && rows.intent === null && rows.effects.length === most && rows.unread === "ended",
})

const of = variantsOf("Resets", right, reset)
const slow = { isSlow: true }

export const variants: ReadonlyArray<Variant> = [
  of(
    "holds",
    "the intent takes the position away; dead letters, projection and inbox are cleared; then it is given back",
    {},
  ),
  of("holds", "a reset whose process is killed is resumed by the intent", { crashes: 1 }),
  of("holds", "the inbox is cleared before the projection", { order: "dead letters, inbox, projection", crashes: 1 }),
  of("breaks", "the projection is cleared before the dead letters", { order: "projection, dead letters, inbox" }),
  of("breaks", "the position is left where it is until all is cleared", { position: "left" }),
  of("breaks", "the position is moved to the beginning before all is cleared", { position: "moved back" }),
  of("breaks", "nothing but the memory of its process says that a reset runs", { intent: "memory", crashes: 1 }),
  of("holds", "two processes resume the same reset", { processes: 2 }),
  of(
    "holds",
    "a process that was frozen goes on after its reset has ended and another runs",
    { processes: 2, resets: 2 },
    slow,
  ),
  of("breaks", "a transaction of a reset does not look whether its intent is still there", {
    processes: 2,
    checks: "nothing",
  }),
  of(
    "breaks",
    "a transaction of a reset takes the intent of a later reset for its own",
    {
      processes: 2,
      resets: 2,
      checks: "an intent",
    },
    slow,
  ),
  of("breaks", "a reset does not wait for a worker that has an unreadable record in hand", { waits: false }),
  of("breaks", "a worker does not ask whether a reset runs", { asks: "never" }),
  of("breaks", "a worker asks whether a reset runs before it locks its entry", { asks: "before it locks" }),
]
