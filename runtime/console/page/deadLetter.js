import { html } from "htm/preact"
import { useEffect, useState } from "preact/hooks"
import { linkTo } from "./address.js"
import { call, CallFailed, serverNow, usePoll } from "./net.js"
import { notice } from "./operations.js"
import { Confirm, Copy, Curl, Faults, Id, Json, Pending, State, Text, Time, Trace } from "./parts.js"
import { exactOf } from "./time.js"
import { changedOneOf, changeOneOf, countOf } from "./words.js"

/** @import { DeadLetterJson as DeadLetter } from "../answers.ts" */
/** @import { Polled } from "./net.js" */

/** How long personal data stays on the screen. */
const shownMillis = 60_000

/** @param {{ id: string }} props */
export const DeadLetterView = ({ id }) => {
  /** @type {Polled<DeadLetter>} */
  const polled = usePoll(`/admin/dead-letters/${id}?personal=hide`, 2_000)
  const [shown, setShown] = useState(/** @type {DeadLetter | undefined} */ (undefined))
  useEffect(() => {
    if (shown === undefined) return undefined
    const hide = () => setShown(undefined)
    const timer = setTimeout(hide, shownMillis)
    document.addEventListener("visibilitychange", hide)
    return () => {
      clearTimeout(timer)
      document.removeEventListener("visibilitychange", hide)
    }
  }, [shown])
  if (polled.answer === undefined) {
    return html`<h1>Dead letter</h1>
      ${polled.failure?.status === 404 ? html`<p>There is no dead letter with this id.</p>` : html`<${Pending} polled=${polled} />`}`
  }
  const letter = polled.answer.body
  const seen = shown ?? letter
  const lookAgain = () => {
    setShown(undefined)
    polled.reload()
  }
  const show = () =>
    call("GET", `/admin/dead-letters/${id}?personal=show`).then(
      ({ body }) => setShown(body),
      (error) => notice.set(error instanceof CallFailed ? `Refused: ${error.message}` : String(error)),
    )
  return html`
    <${Head} letter=${letter} reload=${polled.reload} />
    <${Attempts} letter=${letter} />
    <section aria-labelledby="error">
      <div class="line">
        <h2 id="error">Error</h2>
        <span class="muted">as the reaction said it</span><${Copy} text=${letter.error ?? ""} label="Copy the error" />
      </div>
      <pre
        class="error"
        tabindex="0"
        role="region"
        aria-label="The error"
      ><${Text} value=${letter.error ?? letter.reason ?? "none"} /></pre>
    </section>
    <${Data} letter=${seen} isShown=${shown !== undefined} show=${show} />
    <${Behind} letter=${letter} />
    ${isOpen(letter) && html`<${Edit} letter=${letter} shown=${shown} show=${show} reload=${lookAgain} />`}
    ${
      seen.original !== undefined &&
      html`<section aria-labelledby="original">
        <h2 id="original">The original</h2>
        <${Json} text=${originalOf(seen)} label="The data as it came first" />
      </section>`
    }
  `
}

/** The text of an edited event as it came first; empty for others. @param {DeadLetter} letter */
const originalOf = ({ original }) => (original === undefined ? "" : (original.raw ?? JSON.stringify(original.data)))

/** @param {DeadLetter} letter */
const isOpen = ({ status }) => status === "retrying" || status === "parked"

/** The id of the trace, if there is one. @param {string | undefined} traceparent */
const traceIdsIn = (traceparent) => /^[0-9a-f]{2}-([0-9a-f]{32})-/u.exec(traceparent ?? "")?.slice(1) ?? []

/** @param {{ letter: DeadLetter, reload: () => void }} props */
const Head = ({ letter, reload }) => {
  const { id, status, reaction, topic, partition, offset, event, order_id, edited } = letter
  const traces = traceIdsIn(event.headers["traceparent"])
  const [open, setOpen] = useState(/** @type {"redrive" | "discard" | undefined} */ (undefined))
  const run = async (/** @type {"redrive" | "discard"} */ kind) => {
    const { body } = await call("POST", `/admin/dead-letters/${id}/${kind}?personal=hide`)
    notice.set(changedOneOf(kind, letter, body, serverNow()))
    reload()
  }
  return html`<div class="head">
    <h1><code>${reaction}</code> ← ${event.type}</h1>
    <p class="facts">
      <${State} name=${status} />
      ${edited === true && html`<span class="chip">edited</span>`}
      <code>${topic} p${partition}@${offset}</code>
      ${
        event.key !== null &&
        html`<span
          >key <a href=${linkTo("events", "", { topic, key: event.key })}><${Text} value=${event.key} /></a
        ></span>`
      }
      ${order_id !== undefined && html`<a href=${linkTo("order", order_id)}>order ${order_id}</a>`}
      <span class="muted">event <${Id} id=${event.id} label="Copy the event's id" /></span>
      ${traces.map((trace) => html`<${Trace} key=${trace} id=${trace} />`)}
      <${Curl} path=${`/admin/dead-letters/${id}?personal=hide`} />
    </p>
    ${
      isOpen(letter) &&
      html`<p class="buttons">
        <button type="button" class="main" data-key="r" onClick=${() => setOpen("redrive")}>Redrive…</button>
        <button type="button" data-key="d" onClick=${() => setOpen("discard")}>Discard…</button>
      </p>`
    }
    ${
      open !== undefined &&
      html`<${Confirm}
        title=${open === "redrive" ? "Redrive this event" : "Discard this event"}
        text=${changeOneOf({ kind: open, letter })}
        button=${open === "redrive" ? "Redrive" : "Discard"}
        isDanger=${open === "discard"}
        run=${() => run(open)}
        onClose=${() => setOpen(undefined)}
      />`
    }
  </div>`
}

/** @param {{ letter: DeadLetter }} props */
const Attempts = ({ letter }) => {
  const { attempts, attempt_log: log, next_attempt_at, first_failed_at, last_failed_at } = letter
  return html`<section aria-labelledby="attempts">
    <h2 id="attempts">Attempts</h2>
    ${
      log === undefined || log.length === 0
        ? html`<p class="facts">
            <span>${countOf(attempts, "attempt")}</span><span>first <${Time} at=${first_failed_at} as="clock" /></span
            ><span>last <${Time} at=${last_failed_at} as="clock" /></span>
          </p>`
        : html`<ol class="attempts">
            ${log.map(
              ({ at, error, took_ms }, n) =>
                html`<li key=${at}>
                  <span class="mark dead" aria-hidden="true">✕</span> <${Time} at=${at} as="clock" />
                  ${took_ms !== null && html`<span class="muted">${exactOf(took_ms)}</span>`}
                  ${error !== null && error !== log[n - 1]?.error && html`<span class="error"><${Text} value=${error.split("\n")[0]} /></span>`}
                </li>`,
            )}
          </ol>`
    }
    ${next_attempt_at !== null && html`<p class="muted">The next attempt is due at <${Time} at=${next_attempt_at} as="clock" />.</p>`}
  </section>`
}

/** @param {{ letter: DeadLetter, isShown: boolean, show: () => void }} props */
const Data = ({ letter, isShown, show }) => {
  const [isRaw, setRaw] = useState(false)
  const text = letter.raw ?? JSON.stringify(letter.event.data)
  const hidden = `${text}${originalOf(letter)}`.split(`{"hidden":`).length - 1
  const headers = Object.entries(letter.event.headers)
  return html`<section aria-labelledby="data">
    <div class="line">
      <h2 id="data">Event as it came</h2>
      <span class="modes">
        <button type="button" class="plain" aria-pressed=${!isRaw} onClick=${() => setRaw(false)}>readable</button>
        <button type="button" class="plain" aria-pressed=${isRaw} onClick=${() => setRaw(true)}>the text itself</button>
      </span>
      ${hidden > 0 && html`<span>${countOf(hidden, "value")} hidden <button type="button" onClick=${show}>Show</button></span>`}
      ${isShown && html`<span class="muted">shown for a minute</span>`}
      <${Copy} text=${text} label="Copy the data" />
    </div>
    ${isRaw ? html`<pre class="json" tabindex="0" role="region" aria-label="The data as text"><${Text} value=${text} /></pre>` : html`<${Json} text=${text} label="The event's data" />`}
    ${
      headers.length > 0 &&
      html`<details>
        <summary>${countOf(headers.length, "header")}</summary>
        <dl class="checks">
          ${headers.map(
            ([name, value]) =>
              html`<dt><${Text} value=${name} /></dt>
                <dd><${Text} value=${value} /></dd>`,
          )}
        </dl>
      </details>`
    }
  </section>`
}

/** @param {{ letter: DeadLetter }} props */
const Behind = ({ letter: { waiting, reaction } }) =>
  waiting > 0 &&
  html`<section aria-labelledby="behind">
    <h2 id="behind">Waits behind it</h2>
    <p>
      ${countOf(waiting, "event")} of this key in <code>${reaction}</code>. They follow in their order when this one
      ends.
    </p>
  </section>`

/**
 * Redrives the event with other data; the text is sent as it is typed.
 *
 * @param {{ letter: DeadLetter, shown: DeadLetter | undefined, show: () => Promise<void>, reload: () => void }} props
 */
const Edit = ({ letter, shown, show, reload }) => {
  const [text, setText] = useState(/** @type {string | undefined} */ (undefined))
  const [isAsking, setAsking] = useState(false)
  const [failure, setFailure] = useState(/** @type {CallFailed | undefined} */ (undefined))
  const source = shown ?? letter
  const whole = source.raw ?? JSON.stringify(source.event.data)
  const isHidden = whole.includes(`{"hidden":`)
  const run = async () => {
    const { body } = await call(
      "POST",
      `/admin/dead-letters/${letter.id}/redrive?personal=hide`,
      `{"data":${text}}`,
    ).catch((error) => {
      setFailure(error)
      setAsking(false)
      throw error
    })
    setFailure(undefined)
    setText(undefined)
    notice.set(changedOneOf("edit", letter, body, serverNow()))
    reload()
  }
  if (text === undefined) {
    return html`<p class="buttons">
      ${
        isHidden
          ? html`<button type="button" onClick=${show}>Show the hidden values, to edit…</button>`
          : html`<button type="button" onClick=${() => setText(whole)}>Edit and redrive…</button>`
      }
    </p>`
  }
  return html`<section aria-labelledby="edit">
    <h2 id="edit">Redrive with other data</h2>
    <label
      >The data, as JSON
      <textarea
        rows="10"
        spellcheck=${false}
        value=${text}
        onInput=${(/** @type {any} */ event) => setText(event.target.value)}
      ></textarea>
    </label>
    <${Faults} failure=${failure} />
    <p class="buttons">
      <button type="button" onClick=${() => setText(undefined)}>Cancel</button>
      <button type="button" class="main" onClick=${() => setAsking(true)}>Redrive with this data…</button>
    </p>
    ${
      isAsking &&
      html`<${Confirm}
        title="Redrive with your data"
        text=${changeOneOf({ kind: "edit", letter })}
        button="Redrive with this data"
        run=${run}
        onClose=${() => setAsking(false)}
      />`
    }
  </section>`
}
