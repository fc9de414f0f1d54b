import { html } from "htm/preact"
import { useContext, useEffect, useState } from "preact/hooks"
import { address, go, linkTo, withParameters } from "./address.js"
import { gapsByReason, layoutOf, scaleOf } from "./layout.js"
import { Live } from "./live.js"
import { call, serverNow, usePoll } from "./net.js"
import { notice } from "./operations.js"
import { Confirm, Copy, Curl, Id, Json, Pending, State, Text, Time, Trace } from "./parts.js"
import { useStore } from "./store.js"
import { deltaOf, exactOf, exactTimeOf, preciseClockOf, zone } from "./time.js"
import { stateOf } from "./words.js"

/** @import { Listed, ListedOrder, OrderJourneyJson as Journey } from "../answers.ts" */
/** @import { Cell, Layout, Open, Row } from "./layout.js" */
/** @import { Polled } from "./net.js" */

/** How long an order that does not end is looked at again and again. */
const lookedAt = 15 * 60_000

/** @param {number} openedAt */
const everyOf = (openedAt) => (/** @type {Journey} */ journey) => {
  const { isFinished } = layoutOf(journey, serverNow(), { isFolded: false })
  if (!isFinished) return Date.now() - openedAt < lookedAt ? 1_000 : undefined
  return 5_000
}

/**
 * Opens the newest order, while that is followed.
 *
 * @param {boolean} isFollowing
 * @param {string} id the order that is shown
 */
const useNewest = (isFollowing, id) => {
  /** @type {Polled<Listed<ListedOrder>>} */
  const { answer } = usePoll(isFollowing ? "/console/api/orders?limit=1" : undefined, 2_000)
  const newest = answer?.body.items[0]?.id ?? 0
  useEffect(() => {
    if (newest > Number(id)) go(linkTo("order", newest, { follow: "newest" }), { replace: true })
  }, [newest, id])
}

/** @param {{ id: string }} props */
export const JourneyView = ({ id }) => {
  const [openedAt] = useState(Date.now())
  const path = `/admin/journeys/${id}?personal=hide`
  /** @type {Polled<Journey>} */
  const polled = usePoll(path, everyOf(openedAt))
  const { query } = useStore(address)
  useStore(zone)
  useNewest(query["follow"] === "newest", id)
  if (polled.answer === undefined) {
    return html`<h1>Order ${id}</h1>
      ${
        polled.failure?.status === 404
          ? html`<p>Order ${id} is not known. If it was placed just now, this page looks again by itself.</p>`
          : html`<${Pending} polled=${polled} />`
      }`
  }
  const { body, text } = polled.answer
  const mode = query["mode"] ?? "story"
  const layout = layoutOf(body, serverNow(), { isFolded: mode === "story" })
  return html`
    <${Head} journey=${body} layout=${layout} />
    <${Gaps} journey=${body} />
    <${Waiting} open=${layout.open} />
    <div class="line">
      <nav class="modes" aria-label="How the journey is shown">
        ${[
          ["story", "Story"],
          ["scale", "Scale"],
          ["raw", "Raw"],
        ].map(
          ([name, word]) =>
            html`<a
              key=${name}
              href=${withParameters({ mode: name === "story" ? undefined : name })}
              aria-current=${mode === name ? "true" : undefined}
              >${word}</a
            >`,
        )}
      </nav>
      <${Curl} path=${path} />
      ${query["follow"] === "newest" && html`<span class="muted">Each new order is opened. <a href=${withParameters({ follow: undefined })}>Stay here</a></span>`}
    </div>
    ${mode === "raw" ? html`<${Json} text=${text} label="The journey as JSON" />` : html`<${Timeline} layout=${layout} isScaled=${mode === "scale"} selected=${query["event"]} />`}
    <${Selected} journey=${body} id=${query["event"]} />
  `
}

/** @param {{ journey: Journey, layout: Layout }} props */
const Head = ({ journey, layout }) => {
  const { order_id, user_id, order, trace_ids } = journey
  return html`<div class="head">
    <h1>Order ${order_id}</h1>
    ${order !== null && html`<p class="facts"><${State} name=${order.status} /> <span>${order.amount}</span></p>`}
    <p class="facts muted">
      ${user_id !== null && html`<a href=${linkTo("orders", "", { user_id })}>user ${user_id}</a>`}
      ${order !== null && html`<span>placed <${Time} at=${order.created_at} /> ago</span>`}
      ${trace_ids.slice(0, 3).map((id) => html`<${Trace} key=${id} id=${id} />`)}
    </p>
    ${order !== null && !layout.isFinished && ["created", "paid"].includes(order.status) && html`<${Cancel} id=${order_id} />`}
  </div>`
}

/** @param {{ id: number }} props */
const Cancel = ({ id }) => {
  const { session } = useContext(Live)
  const [isOpen, setOpen] = useState(false)
  if (!session.features.includes("try")) return null
  return html`<button type="button" onClick=${() => setOpen(true)}>Cancel order…</button> ${
      isOpen &&
      html`<${Confirm}
        title=${`Cancel order ${id}`}
        text="It is never charged, or refunded; its hold on stock is released. This cannot be undone."
        button="Cancel order"
        isDanger=${true}
        run=${async () => {
          await call("POST", `/console/api/orders/${id}/cancel`, {})
          notice.set(`Order ${id} was cancelled.`)
        }}
        onClose=${() => setOpen(false)}
      />`
    }`
}

/** @param {{ journey: Journey }} props */
const Gaps = ({ journey: { gaps } }) =>
  gaps.length > 0 &&
  html`<div class="note dead">
    <p><span class="mark" aria-hidden="true">▲</span> This journey is incomplete.</p>
    <ul>
      ${gapsByReason(gaps).map((text) => html`<li><${Text} value=${text} /></li>`)}
    </ul>
  </div>`

/** @param {{ open: ReadonlyArray<Open> }} props */
const Waiting = ({ open }) =>
  open.length > 0 &&
  html`<ul class="stuck">
    ${open.slice(0, 12).map(
      ({ key, state, text, deadLetter }) =>
        html`<li key=${key} class=${stateOf(state).tone}>
          <span class="mark ${stateOf(state).tone}" aria-hidden="true">${stateOf(state).mark}</span>
          <div>
            <p><${Text} value=${text} /></p>
          </div>
          ${deadLetter !== undefined && html`<div class="buttons"><a class="button main" href=${linkTo("dead-letter", deadLetter)}>Open dead letter</a></div>`}
        </li>`,
    )}
    ${
      open.length > 12 &&
      html`<li>
        <span></span>
        <p class="muted">and ${open.length - 12} more</p>
      </li>`
    }
  </ul>`

/** @param {{ layout: Layout, isScaled: boolean, selected: string | undefined }} props */
const Timeline = ({ layout, isScaled, selected }) => {
  const { lanes, rows, away } = layout
  const place = scaleOf(rows)
  return html`<table class="timeline">
    <thead>
      <tr>
        <th scope="col">time</th>
        <th scope="col" class="number">+Δ</th>
        ${lanes.map((lane) => html`<th scope="col" key=${lane} class=${away.has(lane) ? "away" : ""}>${lane}</th>`)}
        <th scope="col">${isScaled ? "true to time" : "log"}</th>
      </tr>
    </thead>
    <tbody>
      ${rows.map((row) =>
        row.kind === "gap"
          ? html`<tr key=${row.key} class="gap">
              <td colspan=${lanes.length + 3}>⋯ ${exactOf(row.millis)} in which nothing happened ⋯</td>
            </tr>`
          : html`<${TimelineRow}
              key=${row.key}
              row=${row}
              layout=${layout}
              selected=${selected}
              scale=${isScaled ? place(row.at) : undefined}
            />`,
      )}
    </tbody>
  </table>`
}

/** @param {{ row: Row, layout: Layout, selected: string | undefined, scale: number | undefined }} props */
const TimelineRow = ({ row, layout: { lanes, away }, selected, scale }) => {
  const isSelected = selected !== undefined && Object.values(row.cells).some(({ event }) => event === selected)
  return html`<tr class=${isSelected ? "selected" : ""} data-row>
    <th scope="row">
      <time datetime=${new Date(row.at).toISOString()} title=${exactTimeOf(row.at)}>${preciseClockOf(row.at)}</time>
    </th>
    <td class="number muted">${row.delta === undefined ? "" : deltaOf(row.delta)}</td>
    ${lanes.map((lane) => html`<td key=${lane} class="lane ${away.has(lane) ? "away" : ""}" data-label=${lane}><${Mark} cell=${row.cells[lane]} id=${`${row.key} ${lane}`} /></td>`)}
    <td class="log muted">
      ${
        scale === undefined
          ? html`<code>${row.log ?? ""}</code>`
          : html`<span class="scale"><span class="dot" style=${{ left: `${scale}%` }}></span></span>`
      }
    </td>
  </tr>`
}

/** @param {{ cell: Cell | undefined, id: string }} props */
const Mark = ({ cell, id }) => {
  if (cell === undefined) return html`<span class="nothing" aria-hidden="true">·</span>`
  const { mark, tone } = stateOf(cell.state)
  const content = html`<span class="mark ${tone}" aria-hidden="true">${cell.mark ?? mark}</span>
    <${Text} value=${cell.text} />`
  if (cell.deadLetter !== undefined)
    return html`<a id=${id} href=${linkTo("dead-letter", cell.deadLetter)} title=${cell.title}>${content}</a>`
  if (cell.event !== undefined)
    return html`<a id=${id} href=${withParameters({ event: cell.event })} title=${cell.title}>${content}</a>`
  return html`<span title=${cell.title}>${content}</span>`
}

/** @param {{ journey: Journey, id: string | undefined }} props */
const Selected = ({ journey, id }) => {
  const found = journey.events.find(({ event }) => event.id === id)
  if (found === undefined) return null
  const { event, deliveries, time } = found
  return html`<section class="panel" aria-labelledby="selected">
    <div class="line">
      <h2 id="selected">${event.type}</h2>
      <${Id} id=${event.id} label="Copy the event's id" />
      <span class="muted">${exactTimeOf(Date.parse(time))}</span>
      <button type="button" class="plain" onClick=${() => go(withParameters({ event: undefined }))}>Close</button>
    </div>
    ${
      deliveries.length === 0
        ? html`<p class="muted">No reaction takes this type.</p>`
        : html`<ul class="deliveries">
            ${deliveries.map(
              ({ module, reaction, status, at, attempts, dead_letter_id }) =>
                html`<li key=${reaction}>
                  <code>${reaction}</code> <${State} name=${status} />
                  ${at !== null && html`<span class="muted">${deltaOf(Date.parse(at) - Date.parse(time))}</span>`}
                  ${attempts > 1 && html`<span class="muted">${attempts} attempts</span>`}
                  ${dead_letter_id !== undefined && html`<a href=${linkTo("dead-letter", dead_letter_id)}>open</a>`}
                  <span class="hidden">${module}</span>
                </li>`,
            )}
          </ul>`
    }
    <div class="line">
      <h3>Data</h3>
      <${Copy} text=${JSON.stringify(event.data)} label="Copy the data" />
    </div>
    <${Json} text=${JSON.stringify(event.data)} label="The event's data" />
  </section>`
}
