import { html } from "htm/preact"
import { address, go, linkTo, withParameters } from "./address.js"
import { placeOf, useLog } from "./log.js"
import { withQuery } from "./net.js"
import { Copy, Curl, Empty, fieldOf, Id, Json, Pending, Text, Time } from "./parts.js"
import { useSteady } from "./steady.js"
import { useStore } from "./store.js"
import { preciseClockOf, zone } from "./time.js"
import { numberOf } from "./words.js"

/** @import { LoggedEventJson as LoggedEvent } from "../answers.ts" */

const filters = ["topic", "key", "order_id", "event_id"]

export const EventsView = () => {
  const { query } = useStore(address)
  const isTail = query["tail"] === "on"
  const given = Object.fromEntries(filters.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]])))
  const path = withQuery("/admin/events", { ...given, personal: "hide" })
  const log = useLog(path, isTail)
  const steady = useSteady(log.items, placeOf)
  const { polled, older, skipped, scannedTo } = log
  return html`<h1>Events</h1>
    <p class="muted">
      What is on the event log, newest first. An event comes here from its module's outbox; every consumer group reads
      it at its own position.
    </p>
    <${EventFilters} query=${query} isTail=${isTail} path=${path} reload=${polled.reload} />
    ${
      skipped !== undefined &&
      html`<p class="note">
        More events came than a tail shows at once.
        <button type="button" aria-busy=${log.isBusy} onClick=${() => log.readOn(skipped)}>Show more of them</button>
      </p>`
    }
    ${
      polled.answer === undefined
        ? html`<${Pending} polled=${polled} />`
        : log.items.length === 0
          ? html`<${Empty}>No events match.<//>`
          : html`<div ref=${steady.ref}>
              ${steady.line}
              <table class="grid">
                <thead>
                  <tr>
                    <th scope="col">time</th>
                    <th scope="col">topic</th>
                    <th scope="col">place</th>
                    <th scope="col">key</th>
                    <th scope="col">event</th>
                    <th scope="col">order</th>
                  </tr>
                </thead>
                <tbody>
                  ${steady.shown.map((item) => html`<${Item} key=${placeOf(item)} item=${item} open=${query["open"]} />`)}
                </tbody>
              </table>
            </div>`
    }
    ${
      polled.answer !== undefined &&
      html`<p class="buttons">
        ${scannedTo !== null && html`<span class="muted">Searched back to <${Time} at=${scannedTo} as="clock" />. There may be older ones.</span>`}
        ${older !== null && html`<button type="button" aria-busy=${log.isBusy} onClick=${() => log.readOn(older)}>${scannedTo === null ? "Older" : "Search further"}</button>`}
      </p>`
    }`
}

/** @param {{ query: Readonly<Record<string, string>>, isTail: boolean, path: string, reload: () => void }} props */
const EventFilters = ({ query, isTail, path, reload }) => {
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault()
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target))
    go(withParameters(Object.fromEntries(filters.map((name) => [name, fieldOf(form, name) || undefined]))))
    reload()
  }
  return html`<form class="filters" onSubmit=${submit} key=${filters.map((name) => query[name] ?? "").join(" ")}>
    ${filters.map(
      (name) =>
        html`<label key=${name}
          >${name.replace("_", " ")}
          <input
            name=${name}
            defaultValue=${query[name] ?? ""}
            autocomplete="off"
            size=${name === "event_id" ? 20 : 12}
        /></label>`,
    )}
    <button>Find</button>
    <label class="check"
      ><input
        type="checkbox"
        checked=${isTail}
        onChange=${() => go(withParameters({ tail: isTail ? undefined : "on" }), { replace: true })}
      />
      Tail</label
    >
    ${filters.some((name) => query[name] !== undefined) && html`<a href=${linkTo("events")}>Clear filters</a>`}
    <${Curl} path=${path} />
  </form>`
}

/** @param {{ item: LoggedEvent, open: string | undefined }} props */
const Item = ({ item, open }) => {
  useStore(zone)
  const { topic, partition, offset, time, event } = item
  const place = `p${partition}@${numberOf(offset).replaceAll(",", "")}`
  const id = `${topic} ${place}`
  const isOpen = open === id
  const order = orderIn(event.data)
  const data = JSON.stringify(event.data)
  return html`<tr data-row class=${isOpen ? "selected" : ""}>
      <th scope="row">
        <a id=${id} href=${withParameters({ open: isOpen ? undefined : id })} aria-expanded=${isOpen}
          >${preciseClockOf(Date.parse(time))}</a
        >
      </th>
      <td data-label="topic"><code>${topic}</code></td>
      <td data-label="place"><code>${place}</code></td>
      <td data-label="key"><${Text} value=${event.key ?? "–"} /></td>
      <td data-label="event"><${Id} id=${event.id} label="Copy the event's id" /></td>
      <td data-label="order">${order === undefined ? "–" : html`<a href=${linkTo("order", order)}>${order}</a>`}</td>
    </tr>
    ${
      isOpen &&
      html`<tr class="inner">
        <td colspan="6">
          <div class="line">
            <span class="muted">source</span> <code><${Text} value=${event.source} /></code
            ><${Copy} text=${data} label="Copy the data" />
          </div>
          <${Json} text=${data} label="The event's data" />
        </td>
      </tr>`
    }`
}

/** @param {unknown} data */
const orderIn = (data) => {
  const id = data !== null && typeof data === "object" && "order_id" in data ? data.order_id : undefined
  return Number.isSafeInteger(id) && Number(id) > 0 ? Number(id) : undefined
}
