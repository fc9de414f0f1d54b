import { html } from "htm/preact"
import { useContext, useEffect, useRef } from "preact/hooks"
import { address, go, linkTo, withParameters } from "./address.js"
import { BulkButtons } from "./bulk.js"
import { Live } from "./live.js"
import { borderOf, boxesOf, edgesOf, lagOf, rateOf, rateText, size } from "./map.js"
import { serverNow, usePoll } from "./net.js"
import { Curl, Empty, Pending, State, Text, Time } from "./parts.js"
import { useStore } from "./store.js"
import { countOf, numberOf, stateOf, stuckOf } from "./words.js"

/** @import { Polled } from "./net.js" */
/** @import { ListedOrder, Listed, OverviewJson as Overview, ReachedModuleJson as ReachedModule } from "../answers.ts" */
/** @import { Box, Edge } from "./map.js" */
/** @import { Stuck } from "./words.js" */

export const OverviewView = () => {
  const { overview, groups, actions } = useContext(Live)
  if (overview.answer === undefined)
    return html`<h1 class="hidden">Overview</h1>
      <${Pending} polled=${overview} />`
  const { body } = overview.answer
  const stuck = stuckOf(body, groups.answer?.body.items, actions, serverNow())
  return html`
    <h1 class="hidden">Overview</h1>
    <section aria-labelledby="stuck">
      <h2 id="stuck">Stuck</h2>
      ${
        stuck.length === 0
          ? html`<${Empty}>Nothing is stuck. Every event that was written took effect, or is on its way.<//>`
          : html`<ul class="stuck">
              ${stuck.map((one) => html`<${StuckLine} key=${one.key} stuck=${one} until=${groups.answer?.body.checked_at} />`)}
            </ul>`
      }
      ${
        (groups.answer?.body.more ?? 0) > 0 &&
        html`<p><a href=${linkTo("dead-letters")}>and ${numberOf(groups.answer?.body.more ?? 0)} more causes</a></p>`
      }
    </section>
    <div class="beside">
      <section aria-labelledby="map" class="map-section">
        <h2 id="map">Map</h2>
        <${Map} overview=${body} />
        <p class="legend muted">solid: events flow · dashed: none just now · thick: a consumer is behind</p>
      </section>
      <${NewestOrders} />
    </div>
    <${Topics} overview=${body} />
    <${Modules} overview=${body} />
  `
}

/** @param {{ stuck: Stuck, until: string | undefined }} props */
const StuckLine = ({ stuck, until }) => {
  const { mark, tone, text, hint, group, orders } = stuck
  return html`<li class=${tone}>
    <span class="mark ${tone}" aria-hidden="true">${mark}</span>
    <div>
      <p><${Text} value=${text} /></p>
      ${hint && html`<p class="muted"><${Text} value=${hint} /></p>`}
      ${
        orders.length > 0 &&
        html`<p class="muted">orders ${orders.map((id) => html`<a href=${linkTo("order", id)}>${id}</a> `)}</p>`
      }
    </div>
    ${
      group !== undefined &&
      html`<div class="buttons">
        <a
          class="button"
          href=${linkTo("dead-letters", "", { module: group.module, reaction: group.reaction, cause: group.cause, status: group.status })}
          >Show cause</a
        >
        <${BulkButtons} group=${group} until=${until} kinds=${["redrive"]} />
      </div>`
    }
  </li>`
}

/** @param {{ overview: Overview }} props */
const Map = ({ overview }) => {
  const boxes = boxesOf(overview.modules.map(({ module }) => module))
  const height = Math.max(size.height, ...boxes.map(({ y }) => y + size.box.height / 2 + 4))
  return html`<svg class="map" viewBox="0 0 ${size.width} ${height}" aria-hidden="true">
    <defs>
      <marker
        id="arrow"
        viewBox="0 0 8 8"
        refX="7"
        refY="4"
        markerWidth="7"
        markerHeight="7"
        orient="auto-start-reverse"
      >
        <path d="M0 0 8 4 0 8z" />
      </marker>
    </defs>
    ${edgesOf(overview).map((edge) => html`<${Line} key=${`${edge.from} ${edge.to}`} edge=${edge} boxes=${boxes} />`)}
    ${boxes.map(
      (box) =>
        html`<${ModuleBox}
          key=${box.module}
          box=${box}
          module=${overview.modules.find(({ module }) => module === box.module)}
        />`,
    )}
  </svg>`
}

/** @param {{ edge: Edge, boxes: ReadonlyArray<Box> }} props */
const Line = ({ edge, boxes }) => {
  const from = boxes.find(({ module }) => module === edge.from)
  const to = boxes.find(({ module }) => module === edge.to)
  if (from === undefined || to === undefined) return null
  const a = borderOf(from, to)
  const b = borderOf(to, from)
  const isFlowing = (edge.perSecond ?? 0) > 0
  const kind = edge.lag > 100 ? "late" : isFlowing ? "flowing" : "quiet"
  return html`<g class="edge ${kind}">
    <title>${edge.topics.join(", ")}</title>
    <line
      x1=${a.x}
      y1=${a.y}
      x2=${b.x}
      y2=${b.y}
      marker-end="url(#arrow)"
      marker-start=${edge.both ? "url(#arrow)" : undefined}
    />
    ${
      (isFlowing || edge.lag > 0) &&
      html`<text x=${(a.x + b.x) / 2} y=${(a.y + b.y) / 2 - 7}
        >${[
          ...(isFlowing ? [rateText(edge.perSecond ?? 0)] : []),
          ...(edge.lag > 0 ? [`lag ${numberOf(edge.lag)}`] : []),
        ].join(" · ")}</text
      >`
    }
  </g>`
}

/** @param {{ box: Box, module: Overview["modules"][number] | undefined }} props */
const ModuleBox = ({ box, module }) => {
  if (module === undefined) return null
  const { mark, tone, word } = stateOf(module.state)
  const { width, height } = size.box
  const x = box.x - width / 2
  const y = box.y - height / 2
  const open = () => go(withParameters({ module: module.module }), { replace: true })
  return html`<g class="box ${module.state === "unreachable" ? "away" : ""}" onClick=${open}>
    <title>The checks, consumers and dead letters of ${module.module}</title>
    <rect x=${x} y=${y} width=${width} height=${height} rx="6" />
    <text class="name" x=${x + 12} y=${y + 26}>${module.module}</text>
    ${
      module.state !== "unreachable" &&
      html`<text class="word ${tone}" x=${x + width - 12} y=${y + 26} text-anchor="end">${mark} ${word}</text>`
    }
    <text class=${module.state === "unreachable" ? `detail ${tone}` : "detail"} x=${x + 12} y=${y + 50}
      >${module.state === "unreachable" ? `${mark} ${word}` : detailOf(module)}</text
    >
  </g>`
}

/** @param {ReachedModule} module */
const detailOf = ({ outbox, dead_letters }) => {
  const unsent = outbox === null ? "?" : numberOf(outbox.pending)
  const dead =
    dead_letters === null
      ? ["■ ?"]
      : [
          ...(dead_letters.parked > 0 ? [`■ ${numberOf(dead_letters.parked)}`] : []),
          ...(dead_letters.retrying > 0 ? [`↻ ${numberOf(dead_letters.retrying)}`] : []),
        ]
  return [`outbox ${unsent}`, ...dead].join("  ")
}

const NewestOrders = () => {
  /** @type {Polled<Listed<ListedOrder>>} */
  const orders = usePoll("/console/api/orders?limit=6", 2_000)
  const newest = orders.answer?.body.items[0]
  const { session } = useContext(Live)
  return html`<section aria-labelledby="newest" class="newest">
    <h2 id="newest">Newest orders</h2>
    ${
      orders.answer === undefined
        ? html`<${Pending} polled=${orders} />`
        : orders.answer.body.items.length === 0
          ? html`<${Empty}
              >No orders yet.${session.features.includes("try") && html` <a href=${linkTo("try")}>Place one</a>`}<//
            >`
          : html`<table class="rows">
              <thead class="hidden">
                <tr>
                  <th>order</th>
                  <th>status</th>
                  <th>amount</th>
                  <th>age</th>
                </tr>
              </thead>
              <tbody>
                ${orders.answer.body.items.map(
                  ({ id, status, amount, created_at }) =>
                    html`<tr key=${id} data-row>
                      <th scope="row"><a id=${`order-${id}`} href=${linkTo("order", id)}>${id}</a></th>
                      <td><${State} name=${status} /></td>
                      <td class="number">${amount}</td>
                      <td class="number muted"><${Time} at=${created_at} /></td>
                    </tr>`,
                )}
              </tbody>
            </table>`
    }
    <p class="line">
      <a href=${linkTo("orders")}>All orders</a>
      ${newest !== undefined && html`<a href=${linkTo("order", newest.id, { follow: "newest" })}>Follow the newest</a>`}
    </p>
  </section>`
}

/** @param {{ overview: Overview }} props */
const Topics = ({ overview }) => {
  const reached = overview.modules.filter((module) => module.state !== "unreachable")
  const topics = reached.flatMap((module) => module.publishes.map((topic) => ({ topic, module })))
  return html`<section aria-labelledby="topics">
    <h2 id="topics">Topics</h2>
    <div class="wide">
      <table class="grid">
        <thead>
          <tr>
            <th scope="col">topic</th>
            <th scope="col">from</th>
            <th scope="col" class="number">/s</th>
            ${overview.modules.map(({ module }) => html`<th scope="col" key=${module}>→ ${module}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${topics.map(
            ({ topic, module }) =>
              html`<tr key=${topic}>
                <th scope="row"><a href=${linkTo("events", "", { topic })}>${topic}</a></th>
                <td data-label="from">${module.module}</td>
                <td class="number" data-label="per second">${perSecondOf(module, topic)}</td>
                ${overview.modules.map((to) => html`<td key=${to.module} class=${reactsTo(to, topic) ? "" : "none"} data-label=${`to ${to.module}`}>${lagText(to, topic)}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`
}

/** @param {ReachedModule} module @param {string} topic */
const perSecondOf = (module, topic) => {
  const rate = rateOf(module, topic)
  return rate === undefined ? "–" : rateText(rate)
}

/** @param {Overview["modules"][number]} module @param {string} topic */
const lagText = (module, topic) => {
  if (module.state === "unreachable") return "?"
  if (!reactsTo(module, topic)) return "–"
  const lag = lagOf(module, topic)
  return lag === undefined ? "lag ?" : lag === 0 ? html`<span class="muted">lag 0</span>` : `lag ${numberOf(lag)}`
}

/** @param {Overview["modules"][number]} module @param {string} topic */
const reactsTo = (module, topic) => module.state === "unreachable" || module.reacts.includes(topic)

/**
 * Each module with its checks, consumers and dead letters: the text of the map. A click on a box of the map leads here.
 *
 * @param {{ overview: Overview }} props
 */
const Modules = ({ overview }) => {
  const chosen = useStore(address).query["module"]
  const isOpen = chosen !== undefined
  const ref = useRef(/** @type {HTMLElement | null} */ (null))
  useEffect(() => {
    ref.current?.querySelector(".chosen")?.scrollIntoView({ block: "nearest" })
  }, [chosen])
  const toggle = (/** @type {any} */ event) => {
    if (event.target.open !== isOpen) go(withParameters({ module: isOpen ? undefined : "all" }), { replace: true })
  }
  return html`<details ref=${ref} class="modules" open=${isOpen} onToggle=${toggle}>
    <summary>Modules and their checks</summary>
    ${isOpen && overview.modules.map((module) => html`<${ModuleDetails} key=${module.module} module=${module} isChosen=${chosen === module.module} />`)}
    ${isOpen && html`<${Curl} path="/admin/overview" />`}
  </details>`
}

/** @param {{ module: Overview["modules"][number], isChosen: boolean }} props */
const ModuleDetails = ({ module, isChosen }) => {
  const { module: name, state } = module
  const title = html`<h3>${name} <${State} name=${state} /></h3>`
  if (module.state === "unreachable")
    return html`<section class=${isChosen ? "chosen" : ""}>
      ${title}
      <p class="muted"><${Text} value=${module.why} /> since <${Time} at=${module.since} as="clock" /></p>
    </section>`
  const { release, started_at, checks, consumers, outbox, dead_letters } = module
  return html`<section class=${isChosen ? "chosen" : ""}>
    ${title}
    <p class="muted">release ${release}, started <${Time} at=${started_at} as="clock" /></p>
    <dl class="checks">
      ${Object.entries(checks).map(
        ([check, fault]) =>
          html`<dt>${check}</dt>
            <dd class=${fault === "ok" ? "" : "fault"}><${Text} value=${fault} /></dd>`,
      )}
      ${consumers?.map(
        (one) =>
          html`<dt>reads ${one.topic}</dt>
            <dd>${countOf(one.lag, "record")} behind</dd>`,
      )}
      <dt>outbox</dt>
      <dd>${outbox === null ? "?" : `${countOf(outbox.pending, "event")} unsent`}</dd>
      <dt>dead letters</dt>
      <dd>
        <a href=${linkTo("dead-letters", "", { module: name })}
          >${dead_letters === null ? "?" : deadLettersText(dead_letters)}</a
        >
      </dd>
    </dl>
  </section>`
}

/** @param {NonNullable<ReachedModule["dead_letters"]>} counts */
const deadLettersText = ({ parked, retrying, waiting }) =>
  `${numberOf(parked)} parked, ${numberOf(retrying)} retrying, ${numberOf(waiting)} waiting behind them`
