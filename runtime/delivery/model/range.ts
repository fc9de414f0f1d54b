// A position and a log that do not fit each other: the log has lost records by retention, or was made anew. Each record
// is taken in one step here; position.ts has the statements of that step.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** What a seat asks for first when it begins. */
  readonly asksFirst: "its row" | "the log"
  /** Whether a correction of the position is made only on the row that was read. */
  readonly compares: boolean
  /** Whether a correction changes the epoch. */
  readonly counts: boolean
  /** Whether the row remembers which log it belongs to. */
  readonly knowsLog: boolean
  readonly prunes: number
  readonly recreations: number
}

const right: Options = {
  asksFirst: "its row",
  compares: true,
  counts: true,
  knowsLog: true,
  prunes: 0,
  recreations: 0,
}

/** How many records each log gets in the end. */
const most = 3

interface Log {
  id: number
  beginning: number
  end: number
}

interface Rows {
  log: number
  next: number
  epoch: number
  /** Records as log and offset: `0/2`. */
  inbox: Array<string>
  /** How often it was reported that records may be lost. */
  reports: number
}

interface Seat {
  row: { log: number; next: number; epoch: number } | null
  range: Log | null
  /** It has begun: position and log fit each other. */
  isReading: boolean
  /** The record in hand. */
  record: { log: number; offset: number } | null
  /** Its connection has ended, so it fetches no more. */
  isCut: boolean
}

interface State {
  log: Log
  rows: Rows
  seats: [Seat, Seat]
  /** Records that were gone before they were taken charge of. */
  gone: Array<string>
  prunes: number
  recreations: number
}

const away: Seat = { row: null, range: null, isReading: false, record: null, isCut: false }

const nameOf = (log: number, offset: number) => `${log}/${offset}`

const beginning = (options: Options, m: number, state: State, step: Step<State>) => {
  const { row, range } = state.seats[m]!
  const { log, next, epoch } = state.rows
  const isRowFirst = options.asksFirst === "its row"
  if (row === null && (isRowFirst || range !== null)) {
    return step(`m${m}: reads its row: position ${next} of log ${log}`, (after) => {
      after.seats[m]!.row = { log, next, epoch }
    })
  }
  if (range === null) {
    const { id, beginning, end } = state.log
    return step(`m${m}: learns that log ${id} has the offsets from ${beginning} to before ${end}`, (after) => {
      after.seats[m]!.range = { id, beginning, end }
    })
  }
  deciding(options, m, state, step)
}

const deciding = (options: Options, m: number, state: State, step: Step<State>) => {
  const { row, range } = state.seats[m]! as { row: NonNullable<Seat["row"]>; range: Log }
  const isOther = options.knowsLog && row.log !== range.id
  if (!isOther && row.next >= range.beginning && row.next <= range.end) {
    return step(`m${m}: begins at ${row.next}`, (after) => {
      after.seats[m]!.isReading = true
    })
  }
  step(`m${m}: reports that records may be lost and corrects the position to ${range.beginning}`, (after) => {
    const { rows } = after
    after.seats[m] = { ...away }
    if (options.compares && (rows.next !== row.next || rows.epoch !== row.epoch)) return
    Object.assign(rows, { log: range.id, next: range.beginning, reports: Math.min(2, rows.reports + 1) })
    if (options.counts) rows.epoch++
  })
}

const reading = (m: number, state: State, step: Step<State>) => {
  const { row, record, isCut } = state.seats[m]! as Seat & { row: NonNullable<Seat["row"]> }
  const { log, rows } = state
  if (record !== null) {
    const { offset } = record
    const isCurrent = rows.epoch === row.epoch && row.next <= rows.next
    const name = nameOf(record.log, offset)
    return step(isCurrent ? `m${m}: takes ${name}` : `m${m}: finds its row changed and begins again`, (after) => {
      if (!isCurrent) return void (after.seats[m] = { ...away })
      after.rows.next = Math.max(after.rows.next, offset + 1)
      if (!after.rows.inbox.includes(name)) after.rows.inbox = [...after.rows.inbox, name].sort()
      Object.assign(after.seats[m]!, { record: null, row: { ...row, next: offset + 1 } })
    })
  }
  if (isCut)
    return step(`m${m}: begins again, since its connection has ended`, (after) => void (after.seats[m] = { ...away }))
  if (row.next < log.beginning || row.next > log.end) {
    return step(`m${m}: is refused the offset ${row.next} and begins again`, (after) => {
      after.seats[m] = { ...away }
    })
  }
  if (row.next < log.end) {
    step(`m${m}: fetches ${nameOf(log.id, row.next)}`, (after) => {
      after.seats[m]!.record = { log: log.id, offset: row.next }
    })
  }
}

const changing = ({ log, rows, prunes, recreations }: State, step: Step<State>) => {
  if (log.end < most) step(`${nameOf(log.id, log.end)} is appended`, (after) => void after.log.end++)
  if (prunes > 0 && log.beginning < log.end) {
    const name = nameOf(log.id, log.beginning)
    step(`${name} is pruned`, (after) => {
      after.prunes--
      after.log.beginning++
      if (!rows.inbox.includes(name)) after.gone.push(name)
    })
  }
  if (recreations > 0) {
    step(`log ${log.id} is deleted, log ${log.id + 1} is made`, (after) => {
      after.recreations--
      after.log = { id: log.id + 1, beginning: 0, end: 0 }
      // Connections end. What a seat has in hand, it has.
      for (const [m, seat] of after.seats.entries()) {
        if (seat.record === null) after.seats[m] = { ...away }
        else seat.isCut = true
      }
    })
  }
}

const violation = ({ log, rows, gone, recreations }: State, options: Options): string | undefined => {
  const passed = gone.filter(
    (name) => !rows.inbox.includes(name) && name.startsWith(`${rows.log}/`) && Number(name.slice(2)) < rows.next,
  )
  if (passed.length > 0 && rows.reports === 0) return `silent loss: ${passed.join(" ")}`
  if (rows.reports > 0 && gone.length === 0 && recreations === options.recreations)
    return "false report: nothing is lost"
  const taken = rows.inbox.filter((name) => name.startsWith(`${log.id}/`)).map((name) => Number(name.slice(2)))
  for (let offset = log.beginning; offset < Math.max(-1, ...taken); offset++) {
    if (!taken.includes(offset)) return `skipped: ${nameOf(log.id, offset)} of what was taken is missing`
  }
  return undefined
}

const range = (options: Options): Model<State> => ({
  initial: {
    log: { id: 0, beginning: 0, end: 0 },
    rows: { log: 0, next: 0, epoch: 0, inbox: [], reports: 0 },
    seats: [{ ...away }, { ...away }],
    gone: [],
    prunes: options.prunes,
    recreations: options.recreations,
  },
  steps: (state, step) => {
    for (const [m, { isReading }] of state.seats.entries()) {
      if (isReading) reading(m, state, step)
      else beginning(options, m, state, step)
    }
    changing(state, step)
  },
  violation: (state) => violation(state, options),
  isDone: ({ log, rows }) =>
    log.end === most &&
    Array.from({ length: most }, (_, offset) => offset).every(
      (offset) => offset < log.beginning || rows.inbox.includes(nameOf(log.id, offset)),
    ),
})

const of = variantsOf("A position outside the log", right, range)
const slow = { isSlow: true }

export const variants: ReadonlyArray<Variant> = [
  of("holds", "a position below the log's beginning is reported and corrected to the beginning", { prunes: 2 }, slow),
  of(
    "holds",
    "a position of another log, or beyond the log's end, is reported and corrected to the beginning",
    { recreations: 1 },
    slow,
  ),
  of("breaks", "a seat asks for the log's range before it reads its row", { asksFirst: "the log" }),
  of("breaks", "a correction does not compare the row with what was read", { compares: false, prunes: 2 }),
  of("breaks", "a correction leaves the epoch as it is", { counts: false, recreations: 1 }, slow),
  of("breaks", "the row does not know which log it belongs to", { knowsLog: false, recreations: 1 }),
]
