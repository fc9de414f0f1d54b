import { html } from "htm/preact"
import { useContext, useState } from "preact/hooks"
import { address, go, linkTo, withParameters } from "./address.js"
import { BulkButtons, SelectedButtons } from "./bulk.js"
import { Live } from "./live.js"
import { serverNow, usePoll, withQuery } from "./net.js"
import { Curl, Empty, Pending, State, Text, Time } from "./parts.js"
import { useSteady } from "./steady.js"
import { useStore } from "./store.js"
import { beganOf, countOf, errorOf, numberOf } from "./words.js"

/** @import { CauseGroupJson as CauseGroup, CauseGroupsJson as CauseGroups, DeadLetterJson as DeadLetter, Listed } from "../answers.ts" */
/** @import { Polled } from "./net.js" */

const statuses = ["", "parked", "retrying", "resolved", "redriven", "discarded"]

export const DeadLettersView = () => {
  const { query } = useStore(address)
  const isOneByOne = query["by"] === "one" || query["cause"] !== undefined || !isOpen(query["status"])
  return html`<h1>Dead letters</h1>
    <p class="muted">
      An event that a reaction could not handle is retried by schedule, then parked until a person redrives or discards
      it. Later events of its key wait behind it; everything else goes on.
    </p>
    <${Filters} isOneByOne=${isOneByOne} />
    ${isOneByOne ? html`<${List} query=${query} />` : html`<${Groups} query=${query} />`}
    <${Away} />`
}

/** @param {string | undefined} status */
const isOpen = (status) => status === undefined || status === "" || status === "parked" || status === "retrying"

/** @param {{ isOneByOne: boolean }} props */
const Filters = ({ isOneByOne }) => {
  const { query } = useStore(address)
  const { overview, groups } = useContext(Live)
  const modules = overview.answer?.body.modules.map(({ module }) => module) ?? []
  const reactions = [...new Set(groups.answer?.body.items.map(({ reaction }) => reaction) ?? [])].sort()
  const types = [...new Set(groups.answer?.body.items.map(({ type }) => type) ?? [])].sort()
  const isFiltered = ["status", "module", "reaction", "type", "cause"].some((name) => query[name] !== undefined)
  return html`<form class="filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <${Choice} name="status" all="open" values=${statuses.slice(1)} chosen=${query["status"]} />
    <${Choice} name="module" all="every module" values=${modules} chosen=${query["module"]} />
    <${Choice} name="reaction" all="every reaction" values=${reactions} chosen=${query["reaction"]} />
    <${Choice} name="type" all="every type" values=${types} chosen=${query["type"]} />
    <span class="modes">
      <a href=${withParameters({ by: undefined, cause: undefined })} aria-current=${isOneByOne ? undefined : "true"}
        >by cause</a
      >
      <a href=${withParameters({ by: "one" })} aria-current=${isOneByOne ? "true" : undefined}>one by one</a>
    </span>
    ${isFiltered && html`<a href=${linkTo("dead-letters")}>Clear filters</a>`}
  </form>`
}

/** @param {{ name: string, all: string, values: ReadonlyArray<string>, chosen: string | undefined }} props */
const Choice = ({ name, all, values, chosen = "" }) => {
  const options = chosen === "" || values.includes(chosen) ? values : [...values, chosen]
  return html`<select
    aria-label=${name}
    value=${chosen}
    onChange=${(/** @type {any} */ event) => go(withParameters({ [name]: event.target.value }), { replace: true })}
  >
    <option value="">${all}</option>
    ${options.map((value) => html`<option key=${value} value=${value}>${value}</option>`)}
  </select>`
}

/** @param {{ query: Readonly<Record<string, string>> }} props */
const Groups = ({ query }) => {
  const { status, module, reaction, type } = query
  const path = withQuery("/admin/dead-letters/groups", { status, module, reaction, type })
  /** @type {Polled<CauseGroups>} */
  const groups = usePoll(path, 5_000)
  const steady = useSteady(groups.answer?.body.items ?? [], groupKey)
  // A process of an older release does not group them.
  if (groups.failure?.status === 404) return html`<${List} query=${query} />`
  if (groups.answer === undefined) return html`<${Pending} polled=${groups} />`
  const { items, checked_at, more } = groups.answer.body
  if (items.length === 0) return html`<${Empty}>No dead letters match.<//>`
  return html`<div ref=${steady.ref}>
      ${steady.line}
      <ul class="stuck groups">
        ${steady.shown.map((group) => html`<${Group} key=${groupKey(group)} group=${group} until=${checked_at} />`)}
      </ul>
    </div>
    ${more > 0 && html`<p class="muted">and ${numberOf(more)} more causes</p>`}
    <p><${Curl} path=${path} /></p>`
}

/** @param {CauseGroup} group */
const groupKey = ({ module, cause, status }) => `${module} ${cause} ${status}`

/** @param {{ group: CauseGroup, until: string }} props */
const Group = ({ group, until }) => {
  const { overview, actions } = useContext(Live)
  const { module, reaction, type, status, cause, count, capped, waiting, last_failed_at } = group
  const modules = overview.answer?.body.modules.filter((one) => one.state !== "unreachable") ?? []
  const list = linkTo("dead-letters", "", { module, reaction, cause, status })
  return html`<li class=${status === "parked" ? "dead" : "retry"} data-row>
    <${State} name=${status} bare=${true} />
    <div>
      <p>
        <strong>${numberOf(count)}${capped ? "+" : ""}</strong>
        ${" "}<a id=${groupKey(group)} href=${list}><code>${reaction}</code> ← ${type}</a>
      </p>
      <p><${Text} value=${errorOf(group)} /></p>
      <p class="muted">
        <${Text} value=${beganOf(group, modules, actions, serverNow())} />${", last "}<${Time}
          at=${last_failed_at}
        />${" ago"} ${waiting > 0 && ` · ${countOf(waiting, "event")} behind`}
      </p>
    </div>
    <div class="buttons">
      <a class="button" href=${list}>Show ${numberOf(count)}${capped ? "+" : ""}</a>
      <${BulkButtons} group=${group} until=${until} kinds=${["redrive", "discard"]} />
    </div>
  </li>`
}

/** @param {{ query: Readonly<Record<string, string>> }} props */
const List = ({ query }) => {
  const { status, module, reaction, type, cause } = query
  const [cursor, setCursor] = useState(/** @type {string | undefined} */ (undefined))
  const [selected, setSelected] = useState(/** @type {ReadonlyArray<string>} */ ([]))
  const filter = { status, module, reaction, type, cause }
  const path = withQuery("/admin/dead-letters", { ...filter, brief: "true", personal: "hide", limit: 50, cursor })
  /** @type {Polled<Listed<DeadLetter>>} */
  const list = usePoll(path, 5_000)
  const steady = useSteady(list.answer?.body.items ?? [], ({ id }) => id)
  if (list.answer === undefined) return html`<${Pending} polled=${list} />`
  const { items, next_cursor } = list.answer.body
  if (items.length === 0)
    return html`<${Empty}>No dead letters match. <a href=${linkTo("dead-letters")}>Clear filters</a><//>`
  const select = (/** @type {string} */ id) =>
    setSelected((before) =>
      before.includes(id) ? before.filter((one) => one !== id) : [...before, id].slice(0, mostSelected),
    )
  return html`${
      selected.length > 0
        ? html`<${SelectedButtons} selected=${selected} clear=${() => setSelected([])} />`
        : html`<${ByFilter} filter=${filter} />`
    }
    ${selected.length === mostSelected && html`<p class="muted">At most ${mostSelected} are selected by hand.</p>`}
    <div ref=${steady.ref}>
      ${steady.line}
      <table class="grid letters">
        <thead>
          <tr>
            <td></td>
            <th scope="col">event</th>
            <th scope="col">status</th>
            <th scope="col">reaction</th>
            <th scope="col">error</th>
            <th scope="col">key</th>
            <th scope="col" class="number">attempts</th>
            <th scope="col" class="number">behind</th>
            <th scope="col">since</th>
          </tr>
        </thead>
        <tbody>
          ${steady.shown.map((letter) => html`<${Entry} key=${letter.id} letter=${letter} isSelected=${selected.includes(letter.id)} select=${select} />`)}
        </tbody>
      </table>
    </div>
    <p class="buttons">
      ${cursor !== undefined && html`<button type="button" onClick=${() => setCursor(undefined)}>Newest</button>`}
      ${next_cursor !== null && html`<button type="button" onClick=${() => setCursor(next_cursor)}>Older</button>`}
      <${Curl} path=${path} />
    </p>`
}

/** The most dead letters that are selected by hand. */
const mostSelected = 200

/**
 * The buttons for all that match, where the list is of one cause.
 *
 * @param {{ filter: { module?: string | undefined, cause?: string | undefined, status?: string | undefined } }} props
 */
const ByFilter = ({ filter: { module, cause, status } }) => {
  const { groups } = useContext(Live)
  const group = groups.answer?.body.items.find(
    (one) => one.cause === cause && one.module === module && one.status === status,
  )
  if (group === undefined) return null
  return html`<p class="buttons">
    <span>All ${countOf(group.count, "event", group.capped)} of this cause:</span>
    <${BulkButtons} group=${group} until=${groups.answer?.body.checked_at} kinds=${["redrive", "discard"]} />
  </p>`
}

/** @param {{ letter: DeadLetter, isSelected: boolean, select: (id: string) => void }} props */
const Entry = ({ letter, isSelected, select }) => {
  const { id, reaction, status, attempts, waiting, first_failed_at, event } = letter
  return html`<tr data-row class=${isSelected ? "selected" : ""}>
    <td class="check">
      ${
        isOpen(status) &&
        html`<input type="checkbox" aria-label=${`Select ${id}`} checked=${isSelected} onChange=${() => select(id)} />`
      }
    </td>
    <th scope="row">
      <a id=${`letter-${id}`} href=${linkTo("dead-letter", id)}><${Text} value=${event.type} /></a>
    </th>
    <td data-label="status"><${State} name=${status} /></td>
    <td data-label="reaction"><code>${reaction}</code></td>
    <td data-label="error" class="error"><${Text} value=${errorOf(letter)} /></td>
    <td data-label="key"><${Text} value=${event.key ?? "–"} /></td>
    <td data-label="attempts" class="number">${attempts}</td>
    <td data-label="behind" class="number">${numberOf(waiting)}</td>
    <td data-label="since"><${Time} at=${first_failed_at} /></td>
  </tr>`
}

const Away = () => {
  const { overview } = useContext(Live)
  const away = overview.answer?.body.modules.filter(({ state }) => state === "unreachable") ?? []
  return (
    away.length > 0 &&
    html`<p class="muted">Not included: ${away.map(({ module }) => module).join(", ")} (unreachable).</p>`
  )
}
