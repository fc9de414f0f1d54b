// Two reactions to one topic, of which the second was added by a later release, while a member of the old release still
// reads; and an operator who replays one of them. A record is taken in one step; position.ts has the statements of it.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  readonly positions: "one for each reaction" | "one for all, and since when for each" | "one for all"
  /** What a reaction that is new takes: everything that the log has, or what comes after it was added. */
  readonly history: boolean
  /** When it takes that history. */
  readonly historyFirst: boolean
  /** Whether a delivery before the position of its reaction is skipped. */
  readonly skips: boolean
  /** Whose positions a member moves. */
  readonly moves: "of its reactions" | "of the topic"
  /** Whether a member of the old release still reads when the new one begins. */
  readonly isRolling: boolean
  readonly rebalances: number
  readonly replays: ReadonlyArray<Name>
}

type Name = "old" | "new"

const right: Options = {
  positions: "one for each reaction",
  history: false,
  historyFirst: true,
  skips: true,
  moves: "of its reactions",
  isRolling: true,
  rebalances: 2,
  replays: [],
}

const most = 3

interface Row {
  next: number
  epoch: number
  /** Of one position for all: older records are skipped for this reaction. */
  since: number
  /** The records that took effect, in that order. They are the inbox, too. */
  effects: Array<number>
}

interface State {
  end: number
  owner: number
  /** The reactions that are known to the database; the new one since its release ran for the first time. */
  rows: { old: Row; new: Row | null }
  /** Where the new reaction begins. */
  begins: number
  /** Members by release; `own` is what it read of its rows. */
  seats: [Seat, Seat]
  rebalances: number
  replays: Array<Name>
}

interface Seat {
  at: number
  own: { old: { next: number; epoch: number }; new: { next: number; epoch: number } | null } | null
}

const releases: ReadonlyArray<ReadonlyArray<Name>> = [["old"], ["old", "new"]]

const named = (effects: ReadonlyArray<number>) => effects.map((offset) => `r${offset}`).join(" ")

const isShared = ({ positions }: Options) => positions !== "one for each reaction"

/** The row that has the position of a reaction. */
const rowOf = (options: Options, { rows }: State, name: Name): Row => (isShared(options) ? rows.old : rows[name]!)

const register = (options: Options, step: Step<State>) =>
  step("the new release adds its reaction", (next) => {
    const { old } = next.rows
    const isEarly = options.history && options.historyFirst
    const begins = isEarly ? 0 : old.next
    next.begins = options.history ? 0 : begins
    next.rows.new = { next: begins, epoch: 0, since: begins, effects: [] }
    if (isShared(options) && isEarly) Object.assign(old, { next: 0, epoch: old.epoch + 1 })
    if (options.history && !options.historyFirst) next.replays.push("new")
  })

const isChanged = (options: Options, m: number, state: State) => {
  const { own } = state.seats[m]!
  return releases[m]!.some((name) => {
    const row = rowOf(options, state, name)
    return own![name]!.epoch !== row.epoch || own![name]!.next > row.next
  })
}

const beginning = (options: Options, m: number, state: State, step: Step<State>) => {
  const names = releases[m]!
  const ofRow = (name: Name) => {
    const { next, epoch } = rowOf(options, state, name)
    return { next, epoch }
  }
  const at = Math.min(...names.map((name) => ofRow(name).next))
  step(`m${m} (${names.join(", ")}) reads its rows and begins at ${at}`, (next) => {
    next.seats[m] = { at, own: { old: ofRow("old"), new: names.includes("new") ? ofRow("new") : null } }
  })
}

const taking = (options: Options, m: number, state: State, step: Step<State>) => {
  const { at } = state.seats[m]!
  if (isChanged(options, m, state)) {
    return step(`m${m} finds its rows changed and begins again`, (next) => {
      next.seats[m]!.own = null
    })
  }
  if (at >= state.end) return
  const names = releases[m]!
  const isWanted = (name: Name) => {
    const row = state.rows[name]!
    if (row.effects.includes(at)) return false
    if (options.positions === "one for all") return true
    if (isShared(options)) return at >= row.since
    return !options.skips || at >= row.next
  }
  const wanted = names.filter(isWanted)
  step(`m${m} takes r${at} for ${wanted.length === 0 ? "no reaction" : wanted.join(" and ")}`, (next) => {
    for (const name of wanted) next.rows[name]!.effects.push(at)
    const moved: ReadonlyArray<Name> =
      options.moves === "of the topic" && next.rows.new !== null ? ["old", "new"] : names
    for (const name of moved) rowOf(options, next, name).next = Math.max(rowOf(options, next, name).next, at + 1)
    const seat = next.seats[m]!
    seat.at = at + 1
    for (const name of names) seat.own![name]!.next = Math.max(seat.own![name]!.next, at + 1)
  })
}

const replaying = (options: Options, state: State, step: Step<State>) => {
  for (const name of new Set(state.replays)) {
    if (state.rows[name] === null) continue
    step(`an operator replays the ${name} reaction`, (next) => {
      next.replays.splice(next.replays.indexOf(name), 1)
      const row = rowOf(options, next, name)
      Object.assign(row, { next: 0, epoch: row.epoch + 1 })
      next.rows[name]!.since = 0
      if (name === "new") next.begins = 0
    })
  }
}

const violation = (state: State, options: Options): string | undefined => {
  const { rows, begins } = state
  for (const name of ["old", "new"] as const) {
    const row = rows[name]
    if (row === null) continue
    const early = name === "new" ? row.effects.filter((offset) => offset < begins) : []
    if (early.length > 0) return `history: the new reaction takes ${named(early)}, from before it was added`
    const { next } = rowOf(options, state, name)
    for (let offset = name === "new" ? begins : 0; offset < next; offset++) {
      const isPending = name === "new" && state.replays.includes("new")
      if (!row.effects.includes(offset) && !isPending)
        return `lost: the position is ${next}, and r${offset} took no effect in the ${name} reaction`
    }
    const isSorted = row.effects.every((offset, n) => n === 0 || offset > row.effects[n - 1]!)
    if (!isSorted && !options.replays.includes(name))
      return `out of order: the ${name} reaction takes ${named(row.effects)}`
  }
  return undefined
}

const reactions = (options: Options): Model<State> => ({
  initial: {
    end: 1,
    owner: 0,
    rows: { old: { next: 0, epoch: 0, since: 0, effects: [] }, new: null },
    begins: 0,
    seats: [
      { at: 0, own: null },
      { at: 0, own: null },
    ],
    rebalances: options.rebalances,
    replays: [...options.replays],
  },
  steps: (state, step) => {
    if (state.end < most) step(`r${state.end} is appended`, (next) => void next.end++)
    if (state.rebalances > 0) {
      step(`the partition goes to m${1 - state.owner}, and m${state.owner} does not know yet`, (next) => {
        next.rebalances--
        next.owner = 1 - next.owner
      })
    }
    for (const m of [0, 1]) {
      if (m === 1 && state.rows.new === null) {
        if (options.isRolling || (state.owner === 1 && state.seats[0].own === null)) register(options, step)
      } else if (state.seats[m]!.own !== null) taking(options, m, state, step)
      else if (state.owner === m) beginning(options, m, state, step)
      if (state.owner !== m && state.seats[m]!.own !== null) {
        step(`m${m} learns that it has lost the seat`, (next) => void (next.seats[m]!.own = null))
      }
    }
    replaying(options, state, step)
  },
  violation: (state) => violation(state, options),
  // The new release has the partition in the end, or another rebalance is needed first.
  isDone: ({ owner, rebalances, end, rows, begins, replays }) => {
    if (owner === 0 && rebalances === 0) return true
    if (end < most || replays.length > 0 || rows.new === null) return false
    return rows.old.effects.length === most && rows.new.effects.length === most - begins
  },
})

const of = variantsOf("Reactions that are added", right, reactions)
const slow = { isSlow: true }

export const variants: ReadonlyArray<Variant> = [
  of("holds", "each reaction has a position of its own; one that is added begins where the others are", {}),
  of("holds", "one that is added with history begins with the history", { history: true }),
  of("holds", "a replay moves the position of its reaction alone", { replays: ["old", "new"] }, slow),
  of("breaks", "the reactions to a topic share one position, and each knows since when", {
    positions: "one for all, and since when for each",
  }),
  of("breaks", "the reactions to a topic share one position, and the inbox alone decides what is new", {
    positions: "one for all",
    replays: ["old"],
    isRolling: false,
    rebalances: 1,
  }),
  of("breaks", "a delivery before the position of its reaction is not skipped", { skips: false, replays: ["old"] }),
  of("breaks", "a member moves the positions of reactions that its release does not have", { moves: "of the topic" }),
  of("breaks", "a reaction with history begins where the others are and is replayed later", {
    history: true,
    historyFirst: false,
  }),
]
