// The position of one reaction in one partition: a row of the module's database, beside the inbox. Two members read the
// partition one after the other or, when one was frozen, at once; an operator resets the reaction; the database is
// restored from a dump.
//
// The client of the log has the difficult properties of a real one: it begins to fetch at the offset that is committed
// at the broker, a fetch may be under way while a seek is requested, and it passes offsets without a record (the marker
// of a transaction) silently.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** What decides where a seat begins. */
  readonly begins: "the row" | "the broker"
  /** Which batches a seat takes charge of. */
  readonly accepts: "what follows its position" | "anything" | "a batch that begins with the record at its position"
  readonly moves: "with the inbox rows" | "before the inbox rows" | "after the inbox rows"
  /** How a transaction finds out that its seat is outdated. */
  readonly fence: "locks the row first" | "updates the row last" | "reads the row" | "none"
  /** What it compares with the row. */
  readonly compares: "epoch and offset" | "epoch" | "offset"
  readonly reset: "locks the row first" | "deletes first"
  /** Whether a reset changes the epoch. */
  readonly counts: boolean
  /** Whether a seat looks at its row while no record arrives. */
  readonly polls: boolean
  readonly rebalances: number
  readonly kills: number
  readonly resets: number
  readonly restores: number
}

const right: Options = {
  begins: "the row",
  accepts: "what follows its position",
  moves: "with the inbox rows",
  fence: "locks the row first",
  compares: "epoch and offset",
  reset: "locks the row first",
  counts: true,
  polls: true,
  rebalances: 1,
  kills: 0,
  resets: 0,
  restores: 0,
}

/** The offsets that hold a record; all records are of one key. */
const records = [0, 2, 3]
/** The offset that holds a marker: a fetch that begins there returns nothing else. */
const marker = 1
const end = 4
const mostInBatch = 2

/** What the module's database holds. */
interface Rows {
  next: number
  epoch: number
  inbox: Array<number>
  /** The records that took effect, in that order. */
  effects: Array<number>
}

interface Seat {
  isTaken: boolean
  /** The client: where it fetches next, where it is to seek, and where the fetch that is under way began. */
  fetch: number
  seek: number | null
  flight: number | null
  batch: { from: number; to: number } | null
  /** The row as the seat read it and moved it; null: not read yet. */
  own: { next: number; epoch: number } | null
  /** Whatever the client brings now follows `own.next` without a gap. */
  follows: boolean
  /** The transaction that runs, and the inbox rows that it has inserted. */
  transaction: { inbox: Array<number> | null } | null
  /** The inbox rows are committed, and the position has not moved yet. */
  isBehind: boolean
}

interface State {
  rows: Rows
  dump: Rows | null
  /** Who has locked the row: a member, or the reset as 2. */
  lock: number | null
  /** The offset that is committed at the broker. */
  committed: number
  owner: number
  seats: [Seat, Seat]
  /** The reset that runs, and what it has deleted. */
  reset: { isLocked: boolean; deletes: Array<number> | null } | null
  rebalances: number
  kills: number
  resets: number
  restores: number
}

/** A member, and the world that it lives in. */
interface World {
  readonly options: Options
  readonly m: number
  readonly state: State
  readonly seat: Seat
  readonly step: (what: string, change: (seat: Seat, next: State) => void) => void
}

const away: Seat = {
  isTaken: false,
  fetch: 0,
  seek: null,
  flight: null,
  batch: null,
  own: null,
  follows: false,
  transaction: null,
  isBehind: false,
}

const between = (from: number, to: number) => records.filter((offset) => offset >= from && offset < to)

const named = (offsets: ReadonlyArray<number>) =>
  offsets.length === 0 ? "nothing" : offsets.map((offset) => `r${offset}`).join(" ")

/** Whether the row is the one that the seat knows, and reaches to where the seat's batch begins. */
const isCurrent = ({ compares }: Options, { own }: Seat, { next, epoch }: Rows) =>
  own !== null && (compares === "offset" || own.epoch === epoch) && (compares === "epoch" || own.next <= next)

const beginAgain = (seat: Seat) =>
  Object.assign(seat, { own: null, follows: false, batch: null, transaction: null, isBehind: false })

const fetching = ({ seat, step }: World) => {
  const { fetch, seek, flight, batch } = seat
  if (flight === null) {
    const from = seek ?? fetch
    if (batch !== null || (seek === null && fetch >= end)) return
    return step(`the client asks for records from offset ${from}`, (seat) => {
      Object.assign(seat, { fetch: from, seek: null, flight: from < end ? from : null })
      if (seek !== null) seat.follows = true
    })
  }
  if (seek !== null) {
    return step(`the client drops the answer from ${flight}, because it is to seek ${seek}`, (seat) => {
      seat.flight = null
    })
  }
  for (let size = 1; size <= (flight === marker ? 1 : Math.min(mostInBatch, end - flight)); size++) {
    const found = between(flight, flight + size)
    step(`the client gets ${named(found)} from offset ${flight}`, (seat) => {
      seat.flight = null
      if (found.length === 0) seat.fetch = flight + size
      else seat.batch = { from: flight, to: found.at(-1)! + 1 }
    })
  }
}

const beginning = ({ options, state, step }: World) => {
  if (options.begins === "the broker") {
    return step("goes on at the committed offset", (seat) => {
      Object.assign(seat, { own: { next: seat.fetch, epoch: 0 }, follows: true })
    })
  }
  const { next, epoch } = state.rows
  step(`reads its row (position ${next}, epoch ${epoch}) and seeks ${next}`, (seat) => {
    Object.assign(seat, { own: { next, epoch }, seek: next })
  })
}

const accepts = ({ accepts }: Options, { own, batch, follows }: Seat): boolean => {
  if (accepts === "anything") return true
  if (accepts === "what follows its position") return batch!.from <= own!.next || follows
  return between(batch!.from, batch!.to).indexOf(own!.next) === 0
}

/** The batch is done with. */
const finish = (seat: Seat) => {
  const { to } = seat.batch!
  seat.own!.next = Math.max(seat.own!.next, to)
  Object.assign(seat, { fetch: to, batch: null, transaction: null, isBehind: false, follows: true })
}

const moveTo = (rows: Rows, to: number) => {
  rows.next = Math.max(rows.next, to)
}

const taking = (world: World) => {
  const { options, seat, step } = world
  const { own, batch, transaction, seek } = seat
  if (own === null || batch === null) return
  if (seat.isBehind) {
    return step(`moves the position to ${batch.to} in another transaction`, (seat, next) => {
      if (isCurrent(options, seat, next.rows)) moveTo(next.rows, batch.to)
      finish(seat)
    })
  }
  if (transaction !== null) return transaction.inbox === null ? inserting(world) : committing(world)
  if (seek !== null && options.accepts !== "anything") {
    return step(`drops the batch from ${batch.from}, which was fetched before the seek`, (seat) => {
      seat.batch = null
    })
  }
  if (!accepts(options, seat)) {
    return step(`refuses the batch from ${batch.from} and seeks ${own.next}`, (seat) => {
      Object.assign(seat, { batch: null, seek: own.next })
    })
  }
  if (options.moves === "before the inbox rows") {
    return step(`moves the position to ${batch.to} in another transaction`, (seat, next) => {
      moveTo(next.rows, batch.to)
      seat.transaction = { inbox: null }
    })
  }
  if (options.fence !== "locks the row first") return inserting(world)
  locking(world)
}

const locking = ({ options, m, state, seat, step }: World) => {
  if (state.lock !== null) return
  if (!isCurrent(options, seat, state.rows)) return step("finds its row changed and begins again", beginAgain)
  step("begins a transaction and locks its row", (seat, next) => {
    next.lock = m
    seat.transaction = { inbox: null }
  })
}

const inserting = ({ options, m, state, seat, step }: World) => {
  if (options.fence === "reads the row" && !isCurrent(options, seat, state.rows)) {
    return step("finds its row changed and begins again", beginAgain)
  }
  const { from, to } = seat.batch!
  const wanted = between(from, to)
  const isThere = (record: number) => state.rows.inbox.includes(record)
  const other = state.seats[1 - m]!.transaction?.inbox ?? []
  // A row that another transaction has inserted or deleted is waited for.
  const isInHand = (record: number) =>
    (state.reset?.deletes ?? []).includes(record) || (other.includes(record) && !isThere(record))
  if (wanted.some(isInHand)) return
  const fresh = wanted.filter((record) => !isThere(record))
  step(`inserts the inbox rows of ${named(wanted)}; new are ${named(fresh)}`, (seat) => {
    seat.transaction = { inbox: fresh }
  })
}

const committing = ({ options, m, state, seat, step }: World) => {
  const { to } = seat.batch!
  const fresh = seat.transaction!.inbox!
  if (options.fence === "updates the row last") {
    if (state.lock !== null) return
    if (!isCurrent(options, seat, state.rows))
      return step("finds its row changed, rolls back and begins again", beginAgain)
  }
  const moves = options.moves === "with the inbox rows"
  step(
    `commits: ${named(fresh)} took effect${moves ? `, position ${Math.max(state.rows.next, to)}` : ""}`,
    (seat, next) => {
      if (next.lock === m) next.lock = null
      next.rows.inbox = [...next.rows.inbox, ...fresh].sort((a, b) => a - b)
      next.rows.effects.push(...fresh)
      if (moves) moveTo(next.rows, to)
      if (options.moves === "after the inbox rows") Object.assign(seat, { transaction: null, isBehind: true })
      else finish(seat)
    },
  )
}

const member = (options: Options, m: number, state: State, offer: Step<State>) => {
  const seat = state.seats[m]!
  const step: World["step"] = (what, change) => offer(`m${m}: ${what}`, (next) => change(next.seats[m]!, next))
  const world: World = { options, m, state, seat, step }
  if (!seat.isTaken) {
    if (state.owner !== m) return
    return step(`takes the seat; the client begins at the committed offset ${state.committed}`, (seat, next) => {
      Object.assign(seat, { isTaken: true, fetch: next.committed })
    })
  }
  fetching(world)
  taking(world)
  const leave = (_: Seat, next: State) => {
    if (next.lock === m) next.lock = null
    next.seats[m] = { ...away }
  }
  if (state.owner !== m) step("learns that it has lost the seat", leave)
  if (state.kills > 0) {
    step("is killed", (seat, next) => {
      next.kills--
      leave(seat, next)
    })
  }
  const { own } = seat
  if (own === null) return beginning(world)
  if (seat.transaction !== null || seat.isBehind) return
  if (state.committed !== own.next) {
    step(`the broker commits its offset ${own.next}`, (_, next) => {
      next.committed = own.next
    })
  }
  if (options.polls && (own.epoch !== state.rows.epoch || own.next > state.rows.next)) {
    step("looks at its row, finds it changed and begins again", beginAgain)
  }
}

const resetting = (options: Options, state: State, step: Step<State>) => {
  const { reset, rows } = state
  if (reset === null) {
    if (state.resets === 0) return
    return step("reset: is asked for", (next) => {
      next.resets--
      next.reset = { isLocked: false, deletes: null }
    })
  }
  if (!reset.isLocked && (options.reset === "locks the row first" || reset.deletes !== null)) {
    if (state.lock !== null) return
    return step("reset: locks the row", (next) => {
      next.lock = 2
      next.reset!.isLocked = true
    })
  }
  if (reset.deletes === null) {
    return step(`reset: deletes the inbox rows and effects of ${named(rows.inbox)}`, (next) => {
      next.reset!.deletes = rows.inbox
    })
  }
  step("reset: commits, position 0", (next) => {
    const isKept = (record: number) => !reset.deletes!.includes(record)
    const epoch = options.counts ? rows.epoch + 1 : rows.epoch
    next.rows = { next: 0, epoch, inbox: rows.inbox.filter(isKept), effects: rows.effects.filter(isKept) }
    Object.assign(next, { reset: null, lock: null })
  })
}

const restoring = (state: State, step: Step<State>) => {
  const { dump, rows } = state
  if (state.restores === 0) return
  if (dump === null) {
    return step("the database is dumped", (next) => {
      next.dump = rows
    })
  }
  step(`the database is restored: position ${dump.next}`, (next) => {
    next.restores--
    Object.assign(next, { rows: dump, dump: null, lock: null, reset: null })
    // Every session has ended; what the processes hold in memory is still there.
    for (const seat of next.seats) Object.assign(seat, { transaction: null, isBehind: false })
  })
}

const violation = ({ begins }: Options, { rows, committed }: State): string | undefined => {
  const { effects, inbox } = rows
  if (new Set(effects).size < effects.length) return `took effect twice: ${named(effects)}`
  if (effects.some((record, n) => record !== records[n])) return `took effect out of order: ${named(effects)}`
  const next = begins === "the broker" ? committed : rows.next
  const lost = between(0, next).filter((record) => !inbox.includes(record))
  return lost.length > 0 ? `lost: the position is ${next}, and ${named(lost)} took no effect` : undefined
}

const position = (options: Options): Model<State> => ({
  initial: {
    rows: { next: 0, epoch: 0, inbox: [], effects: [] },
    dump: null,
    lock: null,
    committed: 0,
    owner: 0,
    seats: [{ ...away }, { ...away }],
    reset: null,
    rebalances: options.rebalances,
    kills: options.kills,
    resets: options.resets,
    restores: options.restores,
  },
  steps: (state, step) => {
    for (const m of [0, 1]) member(options, m, state, step)
    if (state.rebalances > 0) {
      step(`the partition goes to m${1 - state.owner}, and m${state.owner} does not know yet`, (next) => {
        next.rebalances--
        next.owner = 1 - next.owner
      })
    }
    resetting(options, state, step)
    restoring(state, step)
  },
  violation: (state) => violation(options, state),
  isDone: ({ rows, reset, resets }) => reset === null && resets === 0 && rows.effects.length === records.length,
})

const of = variantsOf("Positions", right, position)
const slow = { isSlow: true }

export const variants: ReadonlyArray<Variant> = [
  of("holds", "the position moves in the transaction of the inbox rows, which first locks its row", {}),
  of("holds", "the same, with kill -9 at any moment", { kills: 1 }, slow),
  of("holds", "the same, beside a reset", { resets: 1 }, slow),
  of("holds", "the same, in a database that is restored", { restores: 1 }, slow),
  of(
    "holds",
    "the same, in a database that is restored to before a reset",
    { restores: 1, resets: 1, rebalances: 0 },
    slow,
  ),
  of(
    "holds",
    "the transaction compares its seat with the row when it moves the position, at its end",
    { fence: "updates the row last", resets: 1 },
    slow,
  ),
  of("breaks", "the offset that is committed at the broker decides where a seat begins", {
    begins: "the broker",
    restores: 1,
  }),
  of("breaks", "the position moves before the transaction of the inbox rows", { moves: "before the inbox rows" }),
  of("breaks", "a seat takes charge of whatever its client brings", { accepts: "anything", restores: 1 }, slow),
  of("breaks", "a seat takes only a batch that begins with the record at its position", {
    accepts: "a batch that begins with the record at its position",
  }),
  of("breaks", "a transaction does not compare its seat with the row", { fence: "none", resets: 1 }),
  of("breaks", "a transaction reads its row without locking it", { fence: "reads the row", resets: 1 }),
  of("breaks", "a transaction compares only the epoch", { compares: "epoch", restores: 1 }, slow),
  of("breaks", "a reset deletes inbox rows before it locks the position", { reset: "deletes first", resets: 1 }, slow),
  of("breaks", "a reset leaves the epoch as it is, and only the epoch is compared", {
    counts: false,
    compares: "epoch",
    resets: 1,
  }),
  of("breaks", "a seat looks at its row only when a batch arrives", { polls: false, resets: 1, rebalances: 0 }),
]
