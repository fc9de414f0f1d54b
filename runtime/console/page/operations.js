import { call, CallFailed, serverNow } from "./net.js"
import { makeStore } from "./store.js"
import { numberOf, progressOf } from "./words.js"

/** @import { DeadLetterJson as DeadLetter, OperationJson as Operation } from "../answers.ts" */

/**
 * Which dead letters a bulk change is about.
 *
 * @typedef {{ module?: string, reaction?: string, type?: string, cause?: string, status?: string, until: string }} Which
 */

/**
 * A bulk change that this page has begun: of all that match, or of those that were selected by hand and are still to be
 * changed.
 *
 * @typedef {{
 *   id: number,
 *   kind: "redrive" | "discard",
 *   which?: Which,
 *   selected?: ReadonlyArray<string>,
 *   began: number,
 *   expected: number,
 *   done: number,
 *   ended: boolean,
 *   operation?: string,
 *   stopped?: string,
 *   counts?: Operation["counts"],
 * }} Bulk
 */

/** The bulk changes of this page, the newest last; and what the last single change has come to. */
export const bulks = makeStore(/** @type {ReadonlyArray<Bulk>} */ ([]))
export const notice = makeStore("")

/** How many dead letters one call changes. */
const chunk = 500

/** After this many rounds without a change the rest is being tried right now. */
const mostIdle = 3

let last = 0

/** @param {Bulk} bulk */
const show = (bulk) => {
  const others = bulks.get().filter(({ id }) => id !== bulk.id)
  bulks.set([...others, bulk].sort((a, b) => a.id - b.id))
}

/** @param {number} id */
export const dismiss = (id) => bulks.set(bulks.get().filter((bulk) => bulk.id !== id))

/** @param {number} id */
const current = (id) => bulks.get().find((bulk) => bulk.id === id)

/**
 * Begins a bulk change; its line shows how far it is.
 *
 * @param {Pick<Bulk, "kind" | "which" | "selected" | "expected">} change
 */
export const begin = (change) => {
  const bulk = { ...change, began: serverNow(), id: ++last, done: 0, ended: false }
  show(bulk)
  void run(bulk.id)
}

/** @param {number} id */
export const goOn = (id) => {
  const bulk = current(id)
  if (bulk === undefined) return
  const { stopped: _, ...rest } = bulk
  show(rest)
  void run(id)
}

/** @param {number} id */
export const stop = (id) => {
  const bulk = current(id)
  if (bulk !== undefined && !bulk.ended) show({ ...bulk, stopped: "you stopped it" })
}

/** @param {number} id */
const run = (id) => (current(id)?.selected === undefined ? runMatching(id) : runSelected(id))

/**
 * Changes those that were selected, one by one.
 *
 * @param {number} id
 */
const runSelected = async (id) => {
  for (;;) {
    const asked = current(id)
    if (asked === undefined || asked.stopped !== undefined) return
    const [next, ...selected] = asked.selected ?? []
    if (next === undefined) return show({ ...asked, ended: true })
    const answer = await call("POST", `/admin/dead-letters/${next}/${asked.kind}?personal=hide`).catch((error) => error)
    const bulk = current(id)
    if (bulk === undefined) return
    if (answer instanceof Error) return show({ ...bulk, stopped: answer.message })
    show({ ...bulk, selected, done: bulk.done + (isChanged(bulk, answer.body) ? 1 : 0) })
  }
}

/**
 * Whether it was this change that an entry shows: an ended one stays as it is.
 *
 * @param {Bulk} bulk
 * @param {DeadLetter} entry
 */
const isChanged = ({ kind, began }, { status, ended_at }) =>
  kind === "redrive" ? status === "retrying" : status === "discarded" && Date.parse(ended_at ?? "") >= began

/**
 * Calls until nothing remains. Each call changes one chunk, so it can be stopped between two.
 *
 * @param {number} id
 */
const runMatching = async (id) => {
  for (let idle = 0; idle < mostIdle;) {
    const asked = current(id)
    if (asked === undefined || asked.stopped !== undefined) return
    const { changed, remaining, operation, fault } = await changeChunk(asked)
    // It may have been stopped meanwhile.
    const bulk = current(id)
    if (bulk === undefined) return
    if (fault !== undefined) return show({ ...bulk, stopped: fault })
    const done = bulk.done + changed
    const expected = changed > 0 ? Math.max(bulk.expected, done + remaining) : bulk.expected
    show({ ...bulk, done, operation, ended: remaining === 0, expected: remaining === 0 ? bulk.expected : expected })
    if (remaining === 0) return follow(id)
    idle = changed === 0 ? idle + 1 : 0
    if (changed === 0) await pause(1_000)
  }
  const bulk = current(id)
  if (bulk !== undefined) show({ ...bulk, stopped: "the rest is being tried right now" })
}

/** @param {Bulk} bulk */
const changeChunk = async ({ kind, which, operation }) => {
  const body = { ...which, limit: chunk, ...(operation === undefined ? {} : { operation }) }
  try {
    const { body: answer } = await call("POST", `/admin/dead-letters/${kind}`, body)
    const changed = answer.redriven ?? answer.discarded ?? 0
    return { changed, remaining: answer.remaining ?? 0, operation: answer.operation }
  } catch (error) {
    const fault = error instanceof CallFailed ? error.message : String(error)
    return { changed: 0, remaining: 0, operation, fault }
  }
}

/** How long the page follows a redrive, and how often it asks. */
const followed = { rounds: 150, every: 2_000 }

/**
 * Follows what becomes of a redrive, until each has been tried.
 *
 * @param {number} id
 */
const follow = async (id) => {
  for (let round = 0; round < followed.rounds; round++) {
    const bulk = current(id)
    if (bulk === undefined || bulk.kind === "discard" || bulk.operation === undefined || bulk.done === 0) return
    const answer = await call("GET", `/admin/operations/${bulk.operation}`).catch(() => undefined)
    const still = current(id)
    if (answer !== undefined && still !== undefined) {
      const { counts } = answer.body
      show({ ...still, counts })
      if (counts.waiting === 0 && counts.applied + counts.parked + counts.discarded >= bulk.done) return
    }
    await pause(round < 5 ? 500 : followed.every)
  }
}

/** @param {number} millis */
const pause = (millis) => new Promise((done) => setTimeout(done, millis))

/** @param {Bulk} bulk */
export const sentenceOf = ({ kind, done, ended, stopped, expected, counts }) =>
  progressOf({ kind, done, ended, stopped, expected, counts })

/**
 * @param {"redrive" | "discard"} kind
 * @param {number} count
 * @param {boolean} [isCapped]
 */
export const buttonOf = (kind, count, isCapped = false) =>
  `${kind === "redrive" ? "Redrive" : "Discard"} ${numberOf(count)}${isCapped ? "+" : ""}`
