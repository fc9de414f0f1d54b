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
  const { count, capped } = group
  if (until === undefined) return null
  const which = whichOf(group, until)
  return html`<${Buttons}
    kinds=${kinds}
    isMain=${group.status === "parked"}
    change=${{ count, capped, until, hasCause: true, which }}
  />`
}

/**
 * The buttons that redrive or discard what was selected by hand.
 *
 * @param {{ selected: ReadonlyArray<string>, clear: () => void }} props
 */
export const SelectedButtons = ({ selected, clear }) =>
  html`<p class="buttons">
    <${Buttons}
      kinds=${["redrive", "discard"]}
      isMain=${true}
      change=${{ count: selected.length, selected }}
      began=${clear}
    />
    <button type="button" class="plain" onClick=${clear}>Clear the selection</button>
  </p>`

/**
 * The change is kept as it was when its dialog was opened: what fails later is not included.
 *
 * @typedef {{ count: number, capped?: boolean, until?: string, hasCause?: boolean, which?: Which,
 *   selected?: ReadonlyArray<string> }} Change
 *
 * @param {{ kinds: ReadonlyArray<"redrive" | "discard">, isMain: boolean, change: Change, began?: () => void }} props
 */
const Buttons = ({ kinds, isMain, change, began }) => {
  const [open, setOpen] = useState(/** @type {(Change & { kind: "redrive" | "discard" }) | undefined} */ (undefined))
  const { count, capped } = change
  return html`${kinds.map(
    (kind) =>
      html`<button
        key=${kind}
        type="button"
        class=${kind === "redrive" && isMain ? "main" : ""}
        data-key=${kind === "redrive" ? "r" : "d"}
        onClick=${() => setOpen({ ...change, kind })}
      >
        ${buttonOf(kind, count, capped)}…
      </button>`,
  )}
  ${
    open !== undefined &&
    html`<${Confirm}
      title=${buttonOf(open.kind, open.count, open.capped)}
      text=${changeManyOf({ ...open, now: serverNow() })}
      button=${buttonOf(open.kind, open.count, open.capped)}
      isDanger=${open.kind === "discard"}
      typed=${open.kind === "discard" && open.count >= manyDiscarded ? String(open.count) : undefined}
      run=${async () => {
        const { kind, which, selected, count: expected } = open
        begin({ kind, expected, ...(which && { which }), ...(selected && { selected }) })
        began?.()
      }}
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
