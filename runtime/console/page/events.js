import { html } from "htm/preact"
import { useEffect, useState } from "preact/hooks"
import { address, go, linkTo, withParameters } from "./address.js"
import { call, usePoll, withQuery } from "./net.js"
import { Copy, Empty, fieldOf, Id, Json, Pending, Text, Time } from "./parts.js"
import { useSteady } from "./steady.js"
import { useStore } from "./store.js"
import { preciseClockOf, zone } from "./time.js"
import { numberOf } from "./words.js"

/** @import { LoggedEventJson as LoggedEvent, LoggedEventsJson as LoggedEvents } from "../answers.ts" */
/** @import { Polled } from "./net.js" */

/** @param {LoggedEvent} item */
const placeOf = ({ topic, partition, offset }) => `${topic} ${partition} ${offset}`

const filters = ["topic", "key", "order_id", "event_id"]

export const EventsView = () => {
  const { query } = useStore(address)
  const isTail = query["tail"] === "on"
  const given = Object.fromEntries(filters.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]])))
  const path = withQuery("/admin/events", { ...given, limit: 50 })
  /** @type {Polled<LoggedEvents>} */
  const polled = usePoll(path, isTail ? 1_000 : () => undefined)
  const { items, more, cursor, scannedTo, isBusy } = useOlder(path, polled.answer?.body)
  const steady = useSteady(items, placeOf)
  return html`<h1>Events</h1>
    <p class="muted">
      What is on the event log, newest first. An event comes here from its module's outbox; every consumer group reads
      it at its own position.
    </p>
    <${EventFilters} query=${query} isTail=${isTail} reload=${polled.reload} />
    ${
      polled.answer === undefined
        ? html`<${Pending} polled=${polled} />`
        : items.length === 0
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
        ${cursor !== null && html`<button type="button" aria-busy=${isBusy} onClick=${more}>${scannedTo === null ? "Older" : "Search further"}</button>`}
      </p>`
    }`
}

/**
 * The newest page, and the older ones that were asked for.
 *
 * @param {string} path
 * @param {LoggedEvents | undefined} newest
 */
const useOlder = (path, newest) => {
  const [older, setOlder] = useState(
    /** @type {{ path: string, items: ReadonlyArray<LoggedEvent>, cursor: string | null, scannedTo: string | null } | undefined} */ (
      undefined
    ),
  )
  const [isBusy, setBusy] = useState(false)
  useEffect(() => setOlder(undefined), [path])
  const own = older?.path === path ? older : undefined
  const items = new Map(
    [...(newest?.items ?? []), ...(own?.items ?? [])].map((item) => [
      `${item.topic} ${item.partition} ${item.offset}`,
      item,
    ]),
  )
  const cursor = own === undefined ? (newest?.next_cursor ?? null) : own.cursor
  const more = async () => {
    setBusy(true)
    try {
      const { body } = await call("GET", `${path}&${new URLSearchParams({ cursor: cursor ?? "" })}`)
      const known = own?.items ?? newest?.items ?? []
      setOlder({ path, items: [...known, ...body.items], cursor: body.next_cursor, scannedTo: body.scanned_to })
    } catch {
      // The button stays, to ask again.
    }
    setBusy(false)
  }
  return {
    items: [...items.values()],
    cursor,
    scannedTo: own === undefined ? (newest?.scanned_to ?? null) : own.scannedTo,
    isBusy,
    more,
  }
}

/** @param {{ query: Readonly<Record<string, string>>, isTail: boolean, reload: () => void }} props */
const EventFilters = ({ query, isTail, reload }) => {
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
