// Writers append events to the outbox, relays carry them to the log. t0 and t1 change one aggregate, t2 another; t1 may
// roll back. A send is appended whole, may be late or lost, and so may its acknowledgement. Of the log only first arrivals
// are kept: copies are the business of the inbox.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  readonly writes: "after it has locked the aggregate" | "before it locks the aggregate"
  readonly reads:
    | "from the head, without what is in flight"
    | "after the last seq that was read"
    | "what no other relay has locked"
  readonly deletes: "after the acknowledgement" | "before the acknowledgement"
  readonly onFailure: "starts again at the head" | "goes on with what was read ahead"
  readonly relays: number
  /** Whether one relay at a time works. */
  readonly isExclusive: boolean
  /** Whether events of one key are to leave by `seq`, too. */
  readonly promisesKeys: boolean
  readonly kills: number
  readonly drops: number
}

const right: Options = {
  writes: "after it has locked the aggregate",
  reads: "from the head, without what is in flight",
  deletes: "after the acknowledgement",
  onFailure: "starts again at the head",
  relays: 1,
  isExclusive: true,
  promisesKeys: false,
  kills: 1,
  drops: 1,
}

const aggregates = ["A", "A", "B"]
const limit = 2

interface Writer {
  at: "new" | "half" | "written" | "ended"
  seq: number
}

interface Relay {
  batch: Array<number>
  /** What was read ahead. */
  ahead: Array<number> | null
  at: "idle" | "read" | "sent" | "acknowledged" | "failed"
  last: number
}

interface State {
  writers: Array<Writer>
  /** Which writer has locked each aggregate. */
  locks: { A: number | null; B: number | null }
  seq: number
  commits: Array<number>
  /** Committed rows, by seq. */
  rows: Array<number>
  sends: Array<{ batch: Array<number>; relay: number | null }>
  log: Array<number>
  /** The relay that works. */
  active: number | null
  relays: Array<Relay>
  kills: number
  drops: number
}

const idle: Relay = { batch: [], ahead: null, at: "idle", last: 0 }

const named = (writers: ReadonlyArray<number>) => writers.map((writer) => `t${writer}`).join(" ")

const writing = (options: Options, t: number, state: State, step: Step<State>) => {
  const { at } = state.writers[t]!
  const aggregate = aggregates[t] as "A" | "B"
  const lock = (at: Writer["at"]) => {
    if (state.locks[aggregate] !== null) return
    step(`t${t}: locks ${aggregate}`, (next) => {
      next.locks[aggregate] = t
      next.writers[t]!.at = at
    })
  }
  const insert = (at: Writer["at"]) =>
    step(`t${t}: inserts its event, seq ${state.seq + 1}`, (next) => {
      next.writers[t] = { at, seq: ++next.seq }
    })
  const locksFirst = options.writes === "after it has locked the aggregate"
  if (at === "new") return locksFirst ? lock("half") : insert("half")
  if (at === "half") return locksFirst ? insert("written") : lock("written")
  if (at === "ended") return
  const end = (next: State) => {
    next.writers[t]!.at = "ended"
    next.locks[aggregate] = null
  }
  step(`t${t}: commits`, (next) => {
    end(next)
    next.commits.push(t)
    next.rows.push(t)
    next.rows.sort((a, b) => next.writers[a]!.seq - next.writers[b]!.seq)
  })
  if (t === 1) step(`t${t}: rolls back`, end)
}

/** What a relay reads now. */
const readBy = ({ reads }: Options, r: number, state: State) => {
  const own = state.relays[r]!
  const isWanted = (writer: number) => {
    if (reads === "after the last seq that was read") return state.writers[writer]!.seq > own.last
    if (own.batch.includes(writer)) return false
    if (reads === "from the head, without what is in flight") return true
    return !state.relays.some((other, n) => n !== r && other.batch.includes(writer))
  }
  return state.rows.filter(isWanted).slice(0, limit)
}

const relaying = (options: Options, r: number, state: State, step: Step<State>) => {
  const { batch, ahead, at } = state.relays[r]!
  const isActive = !options.isExclusive || state.active === r
  const say = (what: string, change: (relay: Relay, next: State) => void) =>
    step(`relay ${r}: ${what}`, (next) => change(next.relays[r]!, next))
  const lastOf = (next: State, read: ReadonlyArray<number>) => next.writers[read.at(-1)!]!.seq
  if (at === "idle") {
    if (options.isExclusive && state.active === null) {
      return say("begins", (relay, next) => {
        Object.assign(relay, idle)
        next.active = r
      })
    }
    const read = isActive ? readBy(options, r, state) : []
    if (read.length === 0) return
    return say(
      `reads ${named(read)}${options.deletes === "before the acknowledgement" ? " and deletes them" : ""}`,
      (relay, next) => {
        Object.assign(relay, { batch: read, at: "read", last: lastOf(next, read) })
        if (options.deletes === "before the acknowledgement") next.rows = next.rows.filter((row) => !read.includes(row))
      },
    )
  }
  if (at === "read") {
    return say(`sends ${named(batch)}`, (relay, next) => {
      relay.at = "sent"
      next.sends.push({ batch, relay: r })
    })
  }
  if (at === "sent") {
    const read = isActive && ahead === null ? readBy(options, r, state) : []
    if (read.length === 0) return
    return say(`reads ${named(read)} ahead`, (relay, next) => {
      Object.assign(relay, { ahead: read, last: lastOf(next, read) })
    })
  }
  const next =
    ahead === null
      ? { ...idle, last: state.relays[r]!.last }
      : { ...state.relays[r]!, batch: ahead, ahead: null, at: "read" }
  if (at === "failed") {
    if (options.onFailure === "starts again at the head" || ahead === null) {
      return say("starts again at the head", (relay) => Object.assign(relay, idle))
    }
    return say(`goes on with ${named(ahead)}`, (relay) => Object.assign(relay, next))
  }
  if (!isActive) return say("finds that its session has ended", (relay) => Object.assign(relay, idle))
  say(`deletes ${named(batch)}`, (relay, after) => {
    after.rows = after.rows.filter((row) => !batch.includes(row))
    Object.assign(relay, next)
  })
}

const sending = (state: State, step: Step<State>) => {
  const append = (next: State, batch: ReadonlyArray<number>) => {
    for (const writer of batch) if (!next.log.includes(writer)) next.log.push(writer)
  }
  const to = (next: State, relay: number | null, at: Relay["at"]) => {
    if (relay !== null) next.relays[relay]!.at = at
  }
  for (const [n, { batch, relay }] of state.sends.entries()) {
    step(`log: appends ${named(batch)}${relay === null ? ", late" : ""}`, (next) => {
      next.sends.splice(n, 1)
      append(next, batch)
      to(next, relay, "acknowledged")
    })
    if (state.drops === 0 || relay === null) continue
    const drop = (what: string, change: (next: State) => void) =>
      step(what, (next) => {
        next.drops--
        change(next)
        to(next, relay, "failed")
      })
    drop(`network: loses ${named(batch)}`, (next) => void next.sends.splice(n, 1))
    drop(
      `relay ${relay}: waits no longer for ${named(batch)}, which are still on their way`,
      (next) => void (next.sends[n]!.relay = null),
    )
    drop(`log: appends ${named(batch)}; the acknowledgement is lost`, (next) => {
      next.sends.splice(n, 1)
      append(next, batch)
    })
  }
}

const killing = ({ relays, active, kills }: State, step: Step<State>) => {
  if (kills === 0) return
  for (const [r, { at }] of relays.entries()) {
    if (at !== "idle" || active === r) {
      step(`relay ${r}: is killed`, (next) => {
        next.kills--
        next.relays[r] = { ...idle }
        if (active === r) next.active = null
        for (const send of next.sends) if (send.relay === r) send.relay = null
      })
    }
    if (active !== r) continue
    step(`relay ${r}: its session ends, and it does not know yet`, (next) => {
      next.kills--
      next.active = null
    })
  }
}

const violation = ({ promisesKeys }: Options, { writers, commits, rows, sends, log }: State): string | undefined => {
  const isKept = (writer: number) => log.includes(writer) || rows.includes(writer)
  const lost = commits.filter((writer) => !isKept(writer))
  if (lost.length > 0 && !sends.some(({ batch }) => lost.every((writer) => batch.includes(writer))))
    return `lost: ${named(lost)}`
  const committed = commits.filter((writer) => aggregates[writer] === "A")
  const arrived = log.filter((writer) => aggregates[writer] === "A")
  if (arrived.some((writer, n) => writer !== committed[n])) {
    return `out of order: A was changed by ${named(committed)}, the log has ${named(arrived)}`
  }
  const isBySeq = log.every((writer, n) => n === 0 || writers[writer]!.seq > writers[log[n - 1]!]!.seq)
  return promisesKeys && !isBySeq
    ? `out of order: the log has ${named(log)}, whose seq is ${log.map((writer) => writers[writer]!.seq).join(" ")}`
    : undefined
}

const outbox = (options: Options): Model<State> => ({
  initial: {
    writers: aggregates.map(() => ({ at: "new", seq: 0 })),
    locks: { A: null, B: null },
    seq: 0,
    commits: [],
    rows: [],
    sends: [],
    log: [],
    active: null,
    relays: Array.from({ length: options.relays }, () => ({ ...idle })),
    kills: options.kills,
    drops: options.drops,
  },
  steps: (state, step) => {
    for (const t of state.writers.keys()) writing(options, t, state, step)
    for (const r of state.relays.keys()) relaying(options, r, state, step)
    sending(state, step)
    killing(state, step)
  },
  violation: (state) => violation(options, state),
  isDone: ({ writers, rows }) => rows.length === 0 && writers.every(({ at }) => at === "ended"),
})

const of = variantsOf("Writing and relaying", right, outbox)
const calm = { kills: 0, drops: 0 }
const slow = { isSlow: true }

export const variants: ReadonlyArray<Variant> = [
  of(
    "holds",
    "the event after the aggregate's lock; the head without what is in flight; delete after the acknowledgement",
    {},
    slow,
  ),
  of("holds", "the same, with two relays of which one works", { relays: 2, drops: 0 }, slow),
  of(
    "holds",
    "two relays at once, each reading everything from the head",
    { relays: 2, isExclusive: false, ...calm },
    slow,
  ),
  of("breaks", "the outbox row before the aggregate's lock", { writes: "before it locks the aggregate", ...calm }),
  of("breaks", "the relay reads after the last seq that it has read", {
    reads: "after the last seq that was read",
    ...calm,
  }),
  of("breaks", "after a failed send the relay goes on with what it read ahead", {
    onFailure: "goes on with what was read ahead",
    kills: 0,
  }),
  of("breaks", "relays share the rows by SKIP LOCKED", {
    relays: 2,
    isExclusive: false,
    reads: "what no other relay has locked",
    ...calm,
  }),
  of("breaks", "rows are deleted before the acknowledgement", { deletes: "before the acknowledgement" }),
  of("breaks", "events of one key leave in the order of seq", { promisesKeys: true, ...calm }),
]
