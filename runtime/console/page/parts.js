import { html } from "htm/preact"
import { useContext, useEffect, useRef, useState } from "preact/hooks"
import { curlOf, traceLinkOf } from "./links.js"
import { Live } from "./live.js"
import { serverNow } from "./net.js"
import { useStore } from "./store.js"
import { plainOf, shortOf, tokensOf } from "./text.js"
import { clockOf, exactTimeOf, spanOf, zone } from "./time.js"
import { stateOf } from "./words.js"

/** @import { ComponentChildren } from "preact" */
/** @import { CallFailed, Polled } from "./net.js" */

/**
 * A foreign value, as text.
 *
 * @param {{ value: unknown }} props
 */
export const Text = ({ value }) => html`<bdi>${plainOf(value)}</bdi>`

/**
 * A point in time, relative while it is less than a day ago; the exact time is its title.
 *
 * @param {{ at: string | number | null | undefined, as?: "span" | "clock" }} props
 */
export const Time = ({ at, as = "span" }) => {
  const isUtc = useStore(zone) === "utc"
  if (at === null || at === undefined) return html`<span class="muted">–</span>`
  const millis = typeof at === "number" ? at : Date.parse(at)
  const now = serverNow()
  const shown = as === "span" && now - millis < 86_400_000 ? spanOf(now - millis) : clockOf(millis, now, isUtc)
  return html`<time datetime=${new Date(millis).toISOString()} title=${exactTimeOf(millis, isUtc)}>${shown}</time>`
}

/**
 * A state: mark, colour and word.
 *
 * @param {{ name: string, title?: string | undefined, bare?: boolean }} props
 */
export const State = ({ name, title, bare = false }) => {
  const { mark, tone, word } = stateOf(name)
  return html`<span class="state ${tone}" title=${title ?? word}
    ><span class="mark" aria-hidden="true">${mark}</span
    >${bare ? html`<span class="hidden">${word}</span>` : ` ${word}`}</span
  >`
}

/**
 * Copies a text; says so for a moment.
 *
 * @param {{ text: string, label?: string, word?: string }} props
 */
export const Copy = ({ text, label = "Copy", word = "" }) => {
  const [isDone, setDone] = useState(false)
  useEffect(() => {
    if (!isDone) return undefined
    const timer = setTimeout(() => setDone(false), 1_500)
    return () => clearTimeout(timer)
  }, [isDone])
  const copy = () => {
    navigator.clipboard?.writeText(text).then(
      () => setDone(true),
      () => {},
    )
  }
  return html`<button type="button" class="copy" title=${label} aria-label=${label} onClick=${copy}>
    ${
      isDone
        ? "✓"
        : html`<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
            <path d="M5.5 5.5v-3h8v8h-3m-8-5h8v8h-8z" />
          </svg>`
    }${word}
  </button>`
}

/**
 * Copies a command that asks for the same as this view; the token in it is the name of a variable.
 *
 * @param {{ path: string }} props
 */
export const Curl = ({ path }) =>
  html`<${Copy} text=${curlOf(location.origin, path)} label="Copy this view's call as a curl command" word="curl" />`

/**
 * The id of a trace; a link where the deployment says where traces are.
 *
 * @param {{ id: string }} props
 */
export const Trace = ({ id }) => {
  const { session } = useContext(Live)
  const place = traceLinkOf(session.trace_url, id)
  const shown = html`<${Id} id=${id} label="Copy the trace id" />`
  return place === undefined
    ? html`<span>trace ${shown}</span>`
    : html`<span><a href=${place} target="_blank" rel="noreferrer">trace</a> ${shown}</span>`
}

/**
 * An id: shortened for the eye alone, with a button that copies it.
 *
 * @param {{ id: string, label?: string }} props
 */
export const Id = ({ id, label = "Copy the id" }) =>
  html`<span class="id"
    ><code title=${plainOf(id)}><bdi>${plainOf(shortOf(id))}</bdi></code
    ><${Copy} text=${id} label=${label}
  /></span>`

/**
 * JSON, indented; the text is only moved, never parsed and written again.
 *
 * @param {{ text: string, label: string }} props
 */
export const Json = ({ text, label }) =>
  html`<pre class="json" tabindex="0" role="region" aria-label=${label}>
${tokensOf(text.slice(0, 65_536)).map(({ kind, text }) =>
  kind === "space"
    ? text
    : html`<span class="j-${kind}">${kind === "hidden" ? `▒ ${plainOf(text)}` : plainOf(text)}</span>`,
)}</pre>`

/**
 * What stands in place of an answer that has not come, or that could not be had.
 *
 * @param {{ polled: Polled<unknown>, children?: ComponentChildren }} props
 */
export const Pending = ({ polled }) => {
  const { failure } = polled
  if (failure === undefined) return html`<p class="muted">Looking…</p>`
  return html`<p class="fault" role="status">${failureSentence(failure)}</p>`
}

/** @param {CallFailed} failure */
export const failureSentence = (failure) => {
  if (failure.status === 0) return "The server does not answer."
  if (failure.status === 401) return "You were signed out."
  return `The server refused (${failure.status}): ${plainOf(failure.message)}`
}

/**
 * The faults of a refused body, each with the place that it names.
 *
 * @param {{ failure: CallFailed | undefined }} props
 */
export const Faults = ({ failure }) => {
  if (failure === undefined) return null
  if (failure.faults.length === 0) return html`<p class="fault" role="alert">${failureSentence(failure)}</p>`
  return html`<ul class="fault" role="alert">
    ${failure.faults.map(
      ({ pointer, parameter, detail }) =>
        html`<li><code>${plainOf(pointer || parameter || "the whole body")}</code>: ${plainOf(detail)}</li>`,
    )}
  </ul>`
}

/**
 * A modal dialog; Escape and Cancel close it.
 *
 * @param {{ title: string, onClose: () => void, children: ComponentChildren }} props
 */
export const Dialog = ({ title, onClose, children }) => {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null))
  useEffect(() => {
    ref.current?.showModal()
  }, [])
  return html`<dialog ref=${ref} aria-label=${title} onClose=${onClose}>
    <h2>${title}</h2>
    ${children}
  </dialog>`
}

/**
 * Asks before a change, says what it will do, and shows why it was refused.
 *
 * @param {{ title: string, text: string, button: string, run: () => Promise<unknown>, onClose: () => void,
 *   typed?: string | undefined, isDanger?: boolean, children?: ComponentChildren }} props
 */
export const Confirm = ({ title, text, button, run, onClose, typed, isDanger = false, children }) => {
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState(/** @type {CallFailed | undefined} */ (undefined))
  const [given, setGiven] = useState("")
  const confirm = async (/** @type {Event} */ event) => {
    event.preventDefault()
    setBusy(true)
    try {
      await run()
      onClose()
    } catch (error) {
      setFailure(/** @type {CallFailed} */ (error))
      setBusy(false)
    }
  }
  const isReady = typed === undefined || given.replaceAll(/\D/gu, "") === typed
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form method="dialog" onSubmit=${confirm}>
      <p>${text}</p>
      ${children}
      ${
        typed !== undefined &&
        html`<label
          >Type ${typed} to go on
          <input
            value=${given}
            inputmode="numeric"
            autocomplete="off"
            onInput=${(/** @type {any} */ event) => setGiven(event.target.value)}
        /></label>`
      }
      <${Faults} failure=${failure} />
      <p class="buttons">
        <button type="button" autofocus onClick=${onClose}>Cancel</button>
        <button class=${isDanger ? "danger" : "main"} disabled=${!isReady} aria-busy=${isBusy} aria-disabled=${isBusy}>
          ${button}
        </button>
      </p>
    </form>
  <//>`
}

/**
 * The text of a form's field.
 *
 * @param {FormData} form
 * @param {string} name
 */
export const fieldOf = (form, name) => {
  const value = form.get(name)
  return typeof value === "string" ? value.trim() : ""
}

/**
 * The message in place of an empty list.
 *
 * @param {{ children: ComponentChildren }} props
 */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`
