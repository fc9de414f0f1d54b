import { html } from "htm/preact"
import { useState } from "preact/hooks"
import { serverNow } from "./net.js"
import { begin, bulks, buttonOf, dismiss, goOn, notice, sentenceOf, stop } from "./operations.js"
import { Confirm, Text } from "./parts.js"
import { useStore } from "./store.js"
import { changeManyOf } from "./words.js"

/** @import { CauseGroupJson as CauseGroup } from "../answers.ts" */
/** @import { Bulk, Which } from "./operations.js" */

/** From this many on a discard asks to type their number. */
const manyDiscarded = 10

/**
 * The buttons that redrive or discard a whole group. `until` is when the group was counted: what fails later is not
 * included.
 *
 * @param {{ group: CauseGroup, until: string | undefined, kinds: ReadonlyArray<"redrive" | "discard"> }} props
 */
export const BulkButtons = ({ group, until, kinds }) => {
  const [open, setOpen] = useState(
    /** @type {{ kind: "redrive" | "discard", count: number, capped: boolean, until: string } | undefined} */ (
      undefined
    ),
  )
  const { count, capped } = group
  if (until === undefined) return null
  return html`${kinds.map(
    (kind) =>
      html`<button
        key=${kind}
        type="button"
        class=${kind === "redrive" && group.status === "parked" ? "main" : ""}
        data-key=${kind === "redrive" ? "r" : "d"}
        onClick=${() => setOpen({ kind, count, capped, until })}
      >
        ${buttonOf(kind, count, capped)}…
      </button>`,
  )}
  ${
    open !== undefined &&
    html`<${Confirm}
      title=${buttonOf(open.kind, open.count, open.capped)}
      text=${changeManyOf({ ...open, hasCause: true, now: serverNow() })}
      button=${buttonOf(open.kind, open.count, open.capped)}
      isDanger=${open.kind === "discard"}
      typed=${open.kind === "discard" && open.count >= manyDiscarded ? String(open.count) : undefined}
      run=${async () => begin({ kind: open.kind, which: whichOf(group, open.until), expected: open.count })}
      onClose=${() => setOpen(undefined)}
    />`
  }`
}

/**
 * @param {CauseGroup} group
 * @param {string} until
 * @returns {Which}
 */
const whichOf = ({ module, reaction, type, cause, status }, until) => ({ module, reaction, type, cause, status, until })

/** What the changes of this page have come to. */
export const Progress = () => {
  const running = useStore(bulks)
  const said = useStore(notice)
  return html`<div class="progress" role="status">
    ${said !== "" && html`<p><${Text} value=${said} /> <button type="button" class="plain" onClick=${() => notice.set("")}>Close</button></p>`}
    ${running.map((bulk) => html`<${Line} key=${bulk.id} bulk=${bulk} />`)}
  </div>`
}

/** @param {{ bulk: Bulk }} props */
const Line = ({ bulk }) =>
  html`<p tabindex="-1">
    <${Text} value=${sentenceOf(bulk)} />
    ${bulk.stopped !== undefined && html` <button type="button" class="plain" onClick=${() => goOn(bulk.id)}>Go on</button>`}
    ${
      bulk.ended || bulk.stopped !== undefined
        ? html` <button type="button" class="plain" onClick=${() => dismiss(bulk.id)}>Close</button>`
        : html` <button type="button" class="plain" onClick=${() => stop(bulk.id)}>Stop</button>`
    }
  </p>`
