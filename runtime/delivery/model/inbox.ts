// A consumer's transactions, statement by statement, beside retry workers and an operator. A partition has a0 b0 a1, a
// copy of a0, and a2; two members read it, of which one may be frozen; a0 fails some times.
//
// The offset here is a mere hint where to read on: it moves forward whoever moves it. What else a position is good for is
// in position.ts.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** When the consumer asks which keys are held. */
  readonly asks: "after it has inserted" | "in the statement that inserts" | "never"
  /** Which events get an inbox row. */
  readonly inbox: "all that are taken charge of" | "those that take effect"
  /** How an event that fails becomes a dead letter. */
  readonly addsDeadLetter:
    | "in a savepoint"
    | "in another transaction"
    | "in another transaction, without asking the inbox"
  readonly worker: "locks the entry" | "marks the entry and works without a lock"
  readonly operator: "waits for the lock" | "overwrites"
  readonly offset: "moves after the commit" | "moves first"
  /** How often a0 fails; after two attempts it is parked. */
  readonly fails: number
  readonly workers: number
  readonly slice: number
  readonly rebalances: number
  readonly kills: number
}

const right: Options = {
  asks: "after it has inserted",
  inbox: "all that are taken charge of",
  addsDeadLetter: "in a savepoint",
  worker: "locks the entry",
  operator: "waits for the lock",
  offset: "moves after the commit",
  fails: 2,
  workers: 2,
  slice: 3,
  rebalances: 1,
  kills: 0,
}

const log = ["a0", "b0", "a1", "a0", "a2"]
const events = ["a0", "b0", "a1", "a2"]
const before: Readonly<Record<string, ReadonlyArray<string>>> = { a0: [], b0: [], a1: ["a0"], a2: ["a0", "a1"] }
const keyOf = (event: string) => event[0]!
const mostAttempts = 2

type Status = "waiting" | "retrying" | "parked" | "ended" | "discarded"

interface Entry {
  event: string
  status: Status
  attempts: number
}

interface Member {
  /** What it has fetched and not finished. */
  batch: { from: number; to: number; isAlone: boolean } | null
  /** The transaction that runs: keys that were held by its snapshot, what it inserted, and what comes of it. */
  held: Array<string> | null
  fresh: Array<string> | null
  result: { effects: Array<string>; entries: Array<Entry> } | null
  /** What is to be added as a dead letter in another transaction. */
  deadLetter: string | null
}

interface Worker {
  event: string
  isOk: boolean | null
}

interface State {
  offset: number
  owner: number
  members: [Member, Member]
  workers: Array<Worker | null>
  inbox: Array<string>
  effects: Array<string>
  entries: Array<Entry>
  rebalances: number
  fails: number
  kills: number
}

const idle: Member = { batch: null, held: null, fresh: null, result: null, deadLetter: null }

const isOpen = ({ status }: Entry) => status === "waiting" || status === "retrying" || status === "parked"

const heldKeys = ({ entries }: State) => [...new Set(entries.filter(isOpen).map(({ event }) => keyOf(event)))].sort()

const list = (events: ReadonlyArray<string>) => (events.length === 0 ? "nothing" : events.join(" "))

const eventsOf = ({ batch }: Member) => log.slice(batch!.from, batch!.isAlone ? batch!.from + 1 : batch!.to)

/** Rolls the transaction back. */
const rollBack = (member: Member) => Object.assign(member, { held: null, fresh: null, result: null, deadLetter: null })

/** Takes the next of the batch in hand, or nothing. */
const goOn = (state: State, m: number, isFirst: Options["offset"]) => {
  const member = state.members[m]!
  const { from, to, isAlone } = member.batch!
  const next = isAlone ? from + 1 : to
  if (isFirst === "moves after the commit") state.offset = Math.max(state.offset, next)
  rollBack(member)
  member.batch = next < to ? { from: next, to, isAlone } : null
}

const consuming = (options: Options, m: number, state: State, step: Step<State>) => {
  const member = state.members[m]!
  const { batch, held, fresh, result } = member
  const say = (what: string, change: (member: Member, next: State) => void) =>
    step(`m${m}: ${what}`, (next) => change(next.members[m]!, next))
  if (batch === null) {
    if (state.owner !== m || state.offset >= log.length) return
    const from = state.offset
    const to = Math.min(from + options.slice, log.length)
    return say(
      `fetches ${list(log.slice(from, to))}${options.offset === "moves first" ? ` and moves the offset to ${to}` : ""}`,
      (member, next) => {
        member.batch = { from, to, isAlone: to - from === 1 }
        if (options.offset === "moves first") next.offset = to
      },
    )
  }
  if (state.owner !== m) say("learns that it has lost the partition", (_, next) => void (next.members[m] = { ...idle }))
  if (state.kills > 0) {
    say("is killed", (_, next) => {
      next.kills--
      next.members[m] = { ...idle }
    })
  }
  if (member.deadLetter !== null) return addingDeadLetter(options, m, state, step)
  if (fresh === null) {
    if (options.asks === "in the statement that inserts" && held === null) {
      const keys = heldKeys(state)
      return say(`begins to insert inbox rows; its snapshot has these keys held: ${list(keys)}`, (member) => {
        member.held = keys
      })
    }
    const wanted = eventsOf(member)
    if (isInHand(state, m, wanted)) return
    const isNew = (event: string, n: number) => !state.inbox.includes(event) && wanted.indexOf(event) === n
    const added = wanted.filter(isNew)
    return say(`inserts the inbox rows of ${list(wanted)}; new are ${list(added)}`, (member) => {
      member.fresh = added
      if (options.asks === "never") member.held = []
    })
  }
  if (held === null) {
    const keys = heldKeys(state)
    return say(`asks which keys are held: ${list(keys)}`, (member) => {
      member.held = keys
    })
  }
  if (result === null) return running(options, m, state, step)
  say(
    `commits: ${list(result.effects)} took effect, ${list(result.entries.map(({ event }) => event))} as dead letters`,
    (_, next) => {
      commit(next, result.effects, result.entries, options.inbox === "those that take effect" ? result.effects : fresh)
      goOn(next, m, options.offset)
    },
  )
}

const commit = (
  state: State,
  effects: ReadonlyArray<string>,
  entries: ReadonlyArray<Entry>,
  inbox: ReadonlyArray<string>,
) => {
  state.effects.push(...effects)
  state.entries.push(...entries)
  state.inbox = [...new Set([...state.inbox, ...inbox])].sort()
}

/** Whether another transaction has inserted one of the rows and not ended: then the statement waits. */
const isInHand = ({ members, inbox }: State, m: number, wanted: ReadonlyArray<string>) =>
  (members[1 - m]!.fresh ?? []).some((event) => wanted.includes(event) && !inbox.includes(event))

const running = (options: Options, m: number, state: State, step: Step<State>) => {
  const { batch, held, fresh } = state.members[m]!
  const result = { effects: [] as Array<string>, entries: [] as Array<Entry> }
  for (const event of fresh!) {
    const isHeld = held!.includes(keyOf(event)) || result.entries.some((entry) => keyOf(entry.event) === keyOf(event))
    if (isHeld) result.entries.push({ event, status: "waiting", attempts: 0 })
    else result.effects.push(event)
  }
  step(`m${m}: runs the reaction for ${list(result.effects)}`, (next) => {
    next.members[m]!.result = result
  })
  if (!result.effects.includes("a0") || state.fails === 0) return
  const fail = (what: string, change: (member: Member) => void) =>
    step(`m${m}: runs the reaction for a0, which fails; ${what}`, (next) => {
      next.fails--
      change(next.members[m]!)
    })
  if (!batch!.isAlone) {
    return fail("rolls back, to take one by one", (member) => {
      rollBack(member)
      member.batch!.isAlone = true
    })
  }
  if (options.addsDeadLetter !== "in a savepoint") {
    return fail("rolls back", (member) => {
      rollBack(member)
      member.deadLetter = "a0"
    })
  }
  fail("rolls back to the savepoint and adds a dead letter", (member) => {
    member.result = { effects: [], entries: [{ event: "a0", status: "retrying", attempts: 1 }] }
  })
}

const addingDeadLetter = (options: Options, m: number, state: State, step: Step<State>) => {
  const event = state.members[m]!.deadLetter!
  if (isInHand(state, m, [event])) return
  const isKnown = state.inbox.includes(event)
  const isBlind = options.addsDeadLetter === "in another transaction, without asking the inbox"
  step(
    `m${m}: adds a dead letter for ${event} in another transaction${isKnown && !isBlind ? ": it is known" : ""}`,
    (next) => {
      if (!isKnown || isBlind) commit(next, [], [{ event, status: "retrying", attempts: 1 }], [event])
      goOn(next, m, options.offset)
    },
  )
}

const working = (options: Options, w: number, state: State, step: Step<State>) => {
  const worker = state.workers[w]!
  if (worker === null) {
    for (const key of heldKeys(state)) {
      const head = state.entries.find((entry) => isOpen(entry) && keyOf(entry.event) === key)!
      const isLocked = options.worker === "locks the entry" && isWorkedOn(state, head.event)
      if (head.status === "parked" || isLocked) continue
      step(`worker ${w}: takes the entry of ${head.event}`, (next) => {
        next.workers[w] = { event: head.event, isOk: null }
      })
    }
    return
  }
  const { event, isOk } = worker
  if (state.kills > 0) {
    step(`worker ${w}: is killed`, (next) => {
      next.kills--
      next.workers[w] = null
    })
  }
  if (isOk === null) {
    step(`worker ${w}: runs the reaction for ${event}`, (next) => {
      next.workers[w]!.isOk = true
    })
    if (event !== "a0" || state.fails === 0) return
    return step(`worker ${w}: runs the reaction for ${event}, which fails, and commits`, (next) => {
      next.fails--
      next.workers[w] = null
      const entry = openEntry(next, event)
      if (entry === undefined) return
      entry.attempts++
      entry.status = entry.attempts >= mostAttempts ? "parked" : "retrying"
    })
  }
  step(`worker ${w}: commits: ${event} took effect`, (next) => {
    next.workers[w] = null
    next.effects.push(event)
    const entry = openEntry(next, event)
    if (entry !== undefined) entry.status = "ended"
    if (!next.inbox.includes(event)) next.inbox = [...next.inbox, event].sort()
  })
}

const openEntry = ({ entries }: State, event: string) => entries.find((entry) => entry.event === event && isOpen(entry))

const isWorkedOn = ({ workers }: State, event: string) => workers.some((worker) => worker?.event === event)

const operating = ({ operator }: Options, state: State, step: Step<State>) => {
  for (const [n, { event, status }] of state.entries.entries()) {
    if (status !== "retrying" && status !== "parked") continue
    if (operator === "waits for the lock" && isWorkedOn(state, event)) continue
    const set = (what: string, entry: Partial<Entry>) =>
      step(`operator: ${what} ${event}`, (next) => {
        Object.assign(next.entries[n]!, entry)
      })
    if (status === "parked") set("redrives", { status: "retrying", attempts: 0 })
    set("discards", { status: "discarded" })
  }
}

const violation = ({ offset, effects, entries }: State): string | undefined => {
  if (new Set(effects).size < effects.length) return `took effect twice: ${list(effects)}`
  const isDiscarded = (event: string) => entries.some((entry) => entry.event === event && entry.status === "discarded")
  for (const [n, event] of effects.entries()) {
    if (isDiscarded(event)) return `${event} took effect, though it was discarded`
    const missing = before[event]!.filter((other) => !effects.slice(0, n).includes(other) && !isDiscarded(other))
    if (missing.length > 0) return `${event} took effect before ${list(missing)} of its key`
  }
  const lost = log
    .slice(0, offset)
    .filter((event) => !effects.includes(event) && !entries.some((entry) => entry.event === event))
  return lost.length > 0
    ? `lost: the offset is ${offset}, and ${list(lost)} is neither applied nor a dead letter`
    : undefined
}

const inbox = (options: Options): Model<State> => ({
  initial: {
    offset: 0,
    owner: 0,
    members: [{ ...idle }, { ...idle }],
    workers: Array.from({ length: options.workers }, () => null),
    inbox: [],
    effects: [],
    entries: [],
    rebalances: options.rebalances,
    fails: options.fails,
    kills: options.kills,
  },
  steps: (state, step) => {
    // Which of the workers has an entry makes no difference.
    const offer: Step<State> = (what, change) =>
      step(what, (next) => {
        change(next)
        next.workers.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      })
    for (const m of [0, 1]) consuming(options, m, state, offer)
    for (const w of state.workers.keys()) working(options, w, state, offer)
    operating(options, state, offer)
    if (state.rebalances === 0) return
    offer(`the partition goes to m${1 - state.owner}, and m${state.owner} does not know yet`, (next) => {
      next.rebalances--
      next.owner = 1 - next.owner
    })
  },
  violation,
  isDone: ({ effects, entries }) => {
    const isOver = (event: string) =>
      effects.includes(event) || entries.some((entry) => entry.event === event && entry.status === "discarded")
    return events.every(isOver) && !entries.some(isOpen)
  },
})

const of = variantsOf("Taking charge", right, inbox)
const slow = { isSlow: true }

export const variants: ReadonlyArray<Variant> = [
  of(
    "holds",
    "inbox rows, then the question for held keys, then the reactions, in one transaction",
    { rebalances: 2 },
    slow,
  ),
  of("holds", "the same, with kill -9 at any moment", { kills: 1, slice: 2 }, slow),
  of(
    "holds",
    "a dead letter is added in another transaction that asks the inbox",
    { addsDeadLetter: "in another transaction" },
    slow,
  ),
  of("breaks", "the consumer does not ask which keys are held", { asks: "never" }),
  of("breaks", "the inbox rows and the question for held keys in one statement", {
    asks: "in the statement that inserts",
  }),
  of("breaks", "an inbox row only with the effect", { inbox: "those that take effect" }),
  of("breaks", "a dead letter is added in another transaction that does not ask the inbox", {
    addsDeadLetter: "in another transaction, without asking the inbox",
  }),
  of("breaks", "a worker marks its entry and works without a lock", {
    worker: "marks the entry and works without a lock",
  }),
  of("breaks", "an operator's discard does not wait for the worker", { operator: "overwrites" }),
  of("breaks", "the offset moves before the transaction", { offset: "moves first", kills: 1 }),
]
