import { html } from "htm/preact"
import { useState } from "preact/hooks"
import { call, CallFailed, unhurried, usePoll, withQuery } from "./net.js"
import { Curl, Empty, failureSentence, Pending, Text, Time } from "./parts.js"
import { countOf } from "./words.js"

/** @import { ActionJson as Action, Listed } from "../answers.ts" */
/** @import { Polled } from "./net.js" */

export const ActionsView = () => {
  const [cursor, setCursor] = useState(/** @type {string | undefined} */ (undefined))
  /** @type {Polled<Listed<Action>>} */
  const actions = usePoll(withQuery("/admin/actions", { limit: 50, cursor }), 5_000)
  return html`<h1>Actions</h1>
    <p class="muted">
      What people did, newest first. A name is what was given at login; a program with the token is “token”, this
      machine “loopback”.
    </p>
    <${Books} />
    ${
      actions.answer === undefined
        ? html`<${Pending} polled=${actions} />`
        : actions.answer.body.items.length === 0
          ? html`<${Empty}>Nothing has been done yet.<//>`
          : html`<table class="grid actions">
              <thead>
                <tr>
                  <th scope="col">when</th>
                  <th scope="col">who</th>
                  <th scope="col">action</th>
                  <th scope="col">target</th>
                  <th scope="col">details</th>
                </tr>
              </thead>
              <tbody>
                ${actions.answer.body.items.map(
                  ({ id, at, actor, action, target, details }) =>
                    html`<tr key=${id}>
                      <th scope="row"><${Time} at=${at} as="clock" /></th>
                      <td data-label="who"><${Text} value=${actor} /></td>
                      <td data-label="action"><${Text} value=${action} /></td>
                      <td data-label="target"><${Text} value=${target} /></td>
                      <td data-label="details" class="muted"><${Text} value=${detailsOf(details)} /></td>
                    </tr>`,
                )}
              </tbody>
            </table>`
    }
    <p class="buttons">
      ${cursor !== undefined && html`<button type="button" onClick=${() => setCursor(undefined)}>Newest</button>`}
      ${actions.answer?.body.next_cursor && html`<button type="button" onClick=${() => setCursor(actions.answer?.body.next_cursor ?? undefined)}>Older</button>`}
    </p>`
}

/** @param {Readonly<Record<string, unknown>>} details */
const detailsOf = (details) =>
  Object.entries(details)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" · ")

/** Checks the invariants over all modules, on a click. */
const Books = () => {
  const [said, setSaid] = useState(/** @type {string} */ (""))
  const [isBusy, setBusy] = useState(false)
  const check = async () => {
    setBusy(true)
    try {
      const { body } = await call("GET", "/admin/audit", undefined, { within: unhurried })
      const found = body.violations.map(
        (/** @type {{ invariant: string, module: string, subject: string }} */ { invariant, module, subject }) =>
          `${module}: ${invariant} (${subject})`,
      )
      setSaid(
        found.length === 0
          ? "The books of all modules agree."
          : `${countOf(found.length, "violation")}. ${found.slice(0, 10).join("; ")}`,
      )
    } catch (error) {
      setSaid(error instanceof CallFailed ? failureSentence(error) : String(error))
    }
    setBusy(false)
  }
  return html`<p class="buttons">
    <button type="button" aria-busy=${isBusy} onClick=${check}>Check the books</button>
    <span role="status"><${Text} value=${said} /></span>
    <${Curl} path="/admin/actions" />
  </p>`
}
