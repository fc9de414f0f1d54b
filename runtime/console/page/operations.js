import { call, CallFailed } from "./net.js"
import { makeStore } from "./store.js"
import { numberOf, progressOf } from "./words.js"

/** @import { OperationJson as Operation } from "../answers.ts" */

/**
 * Which dead letters a bulk change is about.
 *
 * @typedef {{ module?: string, reaction?: string, type?: string, cause?: string, status?: string, until: string }} Which
 */

/**
 * A bulk change that this page has begun.
 *
 * @typedef {{
 *   id: number,
 *   kind: "redrive" | "discard",
 *   which: Which,
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
 * @param {Pick<Bulk, "kind" | "which" | "expected">} change
 */
export const begin = (change) => {
  const bulk = { ...change, id: ++last, done: 0, ended: false }
  show(bulk)
  void run(bulk)
}

/** @param {number} id */
export const goOn = (id) => {
  const bulk = current(id)
  if (bulk === undefined) return
  const { stopped: _, ...rest } = bulk
  show(rest)
  void run(rest)
}

/** @param {number} id */
export const stop = (id) => {
  const bulk = current(id)
  if (bulk !== undefined && !bulk.ended) show({ ...bulk, stopped: "you stopped it" })
}

/**
 * Calls until nothing remains. Each call changes one chunk, so it can be stopped between two.
 *
 * @param {Bulk} begun
 */
const run = async (begun) => {
  let bulk = begun
  for (let idle = 0; idle < mostIdle;) {
    try {
      const { body } = await call("POST", `/admin/dead-letters/${bulk.kind}`, {
        ...bulk.which,
        limit: chunk,
        ...(bulk.operation === undefined ? {} : { operation: bulk.operation }),
      })
      const changed = body.redriven ?? body.discarded ?? 0
      idle = changed === 0 ? idle + 1 : 0
      bulk = { ...bulk, done: bulk.done + changed, operation: body.operation }
      const isStopped = current(bulk.id)?.stopped !== undefined
      show({ ...bulk, ...(isStopped ? { stopped: "you stopped it" } : {}) })
      if (isStopped) return
      if (body.remaining === 0 || body.remaining === undefined) {
        bulk = { ...bulk, ended: true }
        show(bulk)
        await follow(bulk)
        return
      }
      if (changed === 0) await pause(1_000)
      else bulk = { ...bulk, expected: Math.max(bulk.expected, bulk.done + body.remaining) }
    } catch (error) {
      show({ ...bulk, stopped: error instanceof CallFailed ? error.message : String(error) })
      return
    }
  }
  show({ ...bulk, stopped: "the rest is being tried right now" })
}

/** How long the page follows a redrive, and how often it asks. */
const followed = { rounds: 150, every: 2_000 }

/**
 * Follows what becomes of a redrive, until each has been tried.
 *
 * @param {Bulk} bulk
 */
const follow = async (bulk) => {
  if (bulk.kind === "discard" || bulk.operation === undefined || bulk.done === 0) return
  for (let round = 0; round < followed.rounds && current(bulk.id) !== undefined; round++) {
    try {
      const { body } = await call("GET", `/admin/operations/${bulk.operation}`)
      show({ ...bulk, counts: body.counts })
      if (body.counts.waiting === 0 && body.counts.applied + body.counts.parked + body.counts.discarded >= bulk.done)
        return
    } catch {
      // The next round asks again.
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
 * @param {boolean} isCapped
 */
export const buttonOf = (kind, count, isCapped) =>
  `${kind === "redrive" ? "Redrive" : "Discard"} ${numberOf(count)}${isCapped ? "+" : ""}`
