import { useEffect, useRef, useState } from "preact/hooks"
import { makeStore } from "./store.js"

/**
 * @typedef {{ pointer?: string, parameter?: string, detail: string }} Fault
 */

/** A call that was not answered with success. */
export class CallFailed extends Error {
  /**
   * @param {number} status 0 when there was no answer
   * @param {string} detail
   * @param {ReadonlyArray<Fault>} faults
   */
  constructor(status, detail, faults = []) {
    super(detail)
    this.status = status
    this.faults = faults
  }
}

/** Whether this browser is signed in; a 401 ends it. */
export const signedIn = makeStore(true)

/** Since when the page does not ask for anything, because the operator paused it. */
export const pausedAt = makeStore(/** @type {number | undefined} */ (undefined))

/** How far the clock of the server is ahead of the browser's, in milliseconds. */
let ahead = 0

/** @param {string} checkedAt @param {number} receivedAt */
export const setServerTime = (checkedAt, receivedAt) => {
  ahead = Date.parse(checkedAt) - receivedAt
}

/** The time by the server's clock. */
export const serverNow = () => Date.now() + ahead

/** How long an answer may take, in milliseconds; that of an audit over all orders takes its time. */
const usual = 10_000
export const unhurried = 60_000

/** @typedef {{ text: string, body: any, tag?: string | null }} Answer */

/**
 * Calls the server; the text of the answer comes with it. An answer that is `known`, and has not changed, comes again.
 *
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {{ known?: Answer | undefined, within?: number }} [options]
 * @returns {Promise<Answer>}
 */
export const call = async (method, path, body, { known, within = usual } = {}) => {
  const answer = await fetch(path, {
    method,
    headers: {
      accept: "application/json",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(known?.tag ? { "if-none-match": known.tag } : {}),
    },
    body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
    redirect: "error",
    signal: AbortSignal.timeout(within),
  }).catch(() => {
    throw new CallFailed(0, "no answer")
  })
  if (answer.status === 304 && known !== undefined) return known
  const text = await answer.text().catch(() => "")
  if (answer.status === 401) signedIn.set(false)
  if (!answer.ok) throw failureOf(answer.status, text)
  return { text, body: text === "" ? undefined : JSON.parse(text), tag: answer.headers.get("etag") }
}

/**
 * @param {number} status
 * @param {string} text
 */
const failureOf = (status, text) => {
  try {
    const problem = JSON.parse(text)
    return new CallFailed(status, String(problem.detail ?? problem.title), problem.errors ?? [])
  } catch {
    return new CallFailed(status, `the server answered ${status}`)
  }
}

/**
 * A path with a query of those parameters that have a value.
 *
 * @param {string} path
 * @param {Readonly<Record<string, string | number | undefined>>} query
 */
export const withQuery = (path, query) => {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [[name, String(value)]],
  )
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`
}

/**
 * How long to wait before the next call after this many failures in a row.
 *
 * @param {number} failures
 * @param {number} every
 */
export const waitAfter = (failures, every) => (failures === 0 ? every : Math.min(2_000 * 2 ** (failures - 1), 30_000))

/**
 * An answer, when it came, and when it was asked for last and had not changed.
 *
 * @template T
 * @typedef {{ body: T, text: string, cameAt: number, at: number }} Answered
 */

/**
 * @template T
 * @typedef {{
 *   answer: Answered<T> | undefined,
 *   failure: CallFailed | undefined,
 *   failedAt: number | undefined,
 *   nextAt: number | undefined,
 *   reload: () => void,
 * }} Polled
 */

/**
 * Asks for `path` every `every` milliseconds while the page is visible, not paused and signed in. After failures it
 * waits longer. `every` may depend on the answer; undefined ends it. An undefined path asks for nothing. `read` asks in
 * another way than by one call.
 *
 * @template T
 * @param {string | undefined} path
 * @param {number | ((body: T) => number | undefined)} every
 * @param {(path: string, known: Answer | undefined) => Promise<Answer>} [read]
 * @returns {Polled<T>}
 */
export const usePoll = (path, every, read = (path, known) => call("GET", path, undefined, { known })) => {
  const [state, setState] = useState(/** @type {Omit<Polled<T>, "reload"> & { path: string | undefined }} */ (nothing))
  const now = useRef({ every, read })
  now.current = { every, read }
  const reload = useRef(() => {})
  useEffect(() => {
    if (path === undefined) return setState(nothing)
    setState((before) => (before.path === path ? before : { ...nothing, path }))
    const poll = startPoll(path, () => now.current, setState)
    reload.current = poll.look
    return poll.stop
  }, [path])
  return { ...(state.path === path ? state : nothing), reload: () => reload.current() }
}

/** @type {{ path: undefined, answer: undefined, failure: undefined, failedAt: undefined, nextAt: undefined }} */
const nothing = { path: undefined, answer: undefined, failure: undefined, failedAt: undefined, nextAt: undefined }

/**
 * @param {string} path
 * @param {() => { every: any, read: (path: string, known: Answer | undefined) => Promise<Answer> }} now
 * @param {(change: (before: any) => any) => void} setState
 */
const startPoll = (path, now, setState) => {
  let stopped = false
  let running = false
  let failures = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  let isDue = true
  /** @type {Answer | undefined} */
  let known
  let cameAt = 0

  const mayAsk = () => !document.hidden && pausedAt.get() === undefined && signedIn.get()

  /** @param {number | undefined} wait */
  const next = (wait) => {
    clearTimeout(timer)
    if (wait === undefined || stopped) return
    timer = setTimeout(() => {
      isDue = true
      void look()
    }, wait)
  }

  const look = async () => {
    if (stopped || running || !mayAsk()) return
    running = true
    isDue = false
    clearTimeout(timer)
    try {
      const answer = await now().read(path, known)
      failures = 0
      if (stopped) return
      const { every } = now()
      const at = Date.now()
      if (answer !== known) cameAt = at
      known = answer
      const { body, text } = answer
      setState(() => ({ ...nothing, path, answer: { body, text, cameAt, at } }))
      next(typeof every === "function" ? every(body) : every)
    } catch (error) {
      if (stopped) return
      const failure = error instanceof CallFailed ? error : new CallFailed(0, String(error))
      const wait = waitAfter(++failures, 0)
      setState((before) => ({
        ...before,
        path,
        failure,
        failedAt: before.failedAt ?? Date.now(),
        nextAt: Date.now() + wait,
      }))
      next(wait)
    } finally {
      running = false
    }
  }

  const goOn = () => {
    if (isDue) void look()
  }
  document.addEventListener("visibilitychange", goOn)
  const unsubscribe = [pausedAt.subscribe(goOn), signedIn.subscribe(goOn)]
  void look()

  return {
    look: () => void look(),
    stop: () => {
      stopped = true
      clearTimeout(timer)
      document.removeEventListener("visibilitychange", goOn)
      for (const end of unsubscribe) end()
    },
  }
}
