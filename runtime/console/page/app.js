import { html } from "htm/preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { ActionsView } from "./actions.js"
import { address, go, linkTo } from "./address.js"
import { Progress } from "./bulk.js"
import { DeadLettersView } from "./deadLetters.js"
import { DeadLetterView } from "./deadLetter.js"
import { EventsView } from "./events.js"
import { JourneyView } from "./journey.js"
import { handleKeys, keysAreOn, useShortcuts } from "./keys.js"
import { Live } from "./live.js"
import { call, CallFailed, pausedAt, serverNow, setServerTime, signedIn, usePoll } from "./net.js"
import { OrdersView } from "./orders.js"
import { OverviewView } from "./overview.js"
import { Dialog, failureSentence, fieldOf } from "./parts.js"
import { useStore } from "./store.js"
import { clockOf, spanOf, zone, zoneName } from "./time.js"
import { TryView } from "./tryIt.js"
import { faultSentence, numberOf, summaryOf, titleOf, verdictOf } from "./words.js"

/** @import { ActionJson as Action, CauseGroupsJson as CauseGroups, ConsoleSession, FaultSwitchJson as FaultSwitch, Listed, OverviewJson as Overview } from "../answers.ts" */
/** @import { Polled } from "./net.js" */
/** @import { View } from "./links.js" */

/** @typedef {Polled<{ items: ReadonlyArray<FaultSwitch> }>} PolledFaults */

/** @param {{ session: ConsoleSession }} props */
export const App = ({ session }) => {
  const { view, id } = useStore(address)
  /** @type {Polled<Overview>} */
  const overview = usePoll("/admin/overview", 2_000)
  /** @type {Polled<CauseGroups>} */
  const groups = usePoll("/admin/dead-letters/groups", 5_000)
  /** @type {PolledFaults} */
  const faults = usePoll(session.features.includes("faults") ? "/admin/faults" : undefined, 5_000)
  const isStuck = (groups.answer?.body.items.length ?? 0) > 0
  /** @type {Polled<Listed<Action>>} */
  const actions = usePoll(isStuck ? "/admin/actions?limit=20" : undefined, 5_000)
  if (overview.answer !== undefined) setServerTime(overview.answer.body.checked_at, overview.answer.cameAt)
  useEffect(handleKeys, [])
  return html`<${Live.Provider}
    value=${{ overview, groups, faults, actions: actions.answer?.body.items ?? [], session }}
  >
    <${Bar} />
    <${FaultRule} faults=${faults} />
    <${Verdict} overview=${overview} />
    <main id="main" tabindex="-1">
      <${Progress} />
      <${Shown} key=${`${view} ${id}`} view=${view} id=${id} />
    </main>
    <${SignIn} />
    <${Shortcuts} />
  <//>`
}

/** @param {{ view: View, id: string }} props */
const Shown = ({ view, id }) => {
  switch (view) {
    case "overview":
      return html`<${OverviewView} />`
    case "orders":
      return html`<${OrdersView} />`
    case "order":
      return html`<${JourneyView} id=${id} />`
    case "dead-letters":
      return html`<${DeadLettersView} />`
    case "dead-letter":
      return html`<${DeadLetterView} id=${id} />`
    case "events":
      return html`<${EventsView} />`
    case "actions":
      return html`<${ActionsView} />`
    case "try":
      return html`<${TryView} />`
    default:
      return html`<h1>There is no such view.</h1>
        <p><a href=${linkTo("overview")}>Overview</a></p>`
  }
}

const Bar = () =>
  html`<header class="bar">
    <a class="brand" href=${linkTo("overview")}>Galleria</a>
    <${Live.Consumer}>${(/** @type {Live} */ live) => html`<${Navigation} live=${live} />`}<//>
    <${Search} />
    <div class="tools"><${ZoneButton} /><${ThemeButton} /><${HelpButton} /><${SignOut} /></div>
  </header>`

/** @param {{ live: Live }} props */
const Navigation = ({ live: { overview, faults, session } }) => {
  const { view } = useStore(address)
  const dead = overview.answer === undefined ? 0 : summaryOf(overview.answer.body).events
  const on = faults.answer?.body.items.filter(({ enabled }) => enabled).length ?? 0
  const isTried = session.features.includes("try") || session.features.includes("faults")
  /** @type {ReadonlyArray<readonly [View, string, ReadonlyArray<View>, string]>} */
  const entries = [
    ["overview", "Overview", ["overview", "order", "orders"], ""],
    ["dead-letters", "Dead letters", ["dead-letters", "dead-letter"], dead === 0 ? "" : numberOf(dead)],
    ["events", "Events", ["events"], ""],
    ["actions", "Actions", ["actions"], ""],
  ]
  const all = isTried
    ? [...entries, /** @type {const} */ (["try", "Try it", ["try"], on === 0 ? "" : `${on} on`])]
    : entries
  return html`<nav aria-label="Views">
    ${all.map(
      ([name, word, views, count]) =>
        html`<a key=${name} href=${linkTo(name)} aria-current=${views.includes(view) ? "page" : undefined}
          >${word}<span class="count">${count}</span></a
        >`,
    )}
  </nav>`
}

const Search = () => {
  const [found, setFound] = useState(/** @type {string} */ (""))
  const field = useRef(/** @type {HTMLInputElement | null} */ (null))
  useShortcuts({ "/": () => field.current?.focus() })
  const search = async (/** @type {Event} */ event) => {
    event.preventDefault()
    const text = field.current?.value.trim() ?? ""
    if (text === "") return
    setFound("")
    try {
      const { body } = await call("GET", `/admin/search?${new URLSearchParams({ q: text })}`)
      const match = body.items[0]
      if (match === undefined) return setFound(`Nothing has the id ${text.slice(0, 60)}.`)
      go(placeOf(match))
    } catch (error) {
      setFound(error instanceof CallFailed ? failureSentence(error) : String(error))
    }
  }
  return html`<form class="search" role="search" onSubmit=${search}>
    <input
      ref=${field}
      type="search"
      id="search"
      placeholder="/ order, user, event"
      aria-label="Search by the id of an order, user or event"
    />
    <span role="status" class="found">${found}</span>
  </form>`
}

/** @param {{ kind: string, id: string, order_id?: string }} match */
const placeOf = ({ kind, id, order_id }) => {
  if (kind === "order") return linkTo("order", id)
  if (kind === "user") return linkTo("orders", "", { user_id: id })
  if (kind === "dead-letter") return linkTo("dead-letter", id)
  return order_id === undefined ? linkTo("events", "", { event_id: id }) : linkTo("order", order_id, { event: id })
}

const ZoneButton = () => {
  const shown = useStore(zone)
  const toggle = () => zone.set(shown === "utc" ? "local" : "utc")
  useShortcuts({ u: toggle })
  return html`<button
    type="button"
    class="plain"
    onClick=${toggle}
    title=${`Times are in ${shown === "utc" ? "UTC" : zoneName()}`}
  >
    ${shown === "utc" ? "UTC" : "local"}
  </button>`
}

const ThemeButton = () => {
  const [theme, setTheme] = useState(localStorage.getItem("theme") ?? "system")
  const next = theme === "system" ? "light" : theme === "light" ? "dark" : "system"
  const cycle = () => {
    if (next === "system") {
      localStorage.removeItem("theme")
      delete document.documentElement.dataset["theme"]
    } else {
      localStorage.setItem("theme", next)
      document.documentElement.dataset["theme"] = next
    }
    setTheme(next)
  }
  return html`<button
    type="button"
    class="plain"
    onClick=${cycle}
    aria-label=${`Theme: ${theme}; switch to ${next}`}
    title=${`Theme: ${theme}`}
  >
    ◐
  </button>`
}

const helpIsOpen = { show: () => {} }

const HelpButton = () =>
  html`<button type="button" class="plain" aria-label="Keyboard shortcuts" onClick=${() => helpIsOpen.show()}>
    ?
  </button>`

const SignOut = () =>
  html`<${Live.Consumer}
    >${(/** @type {Live} */ { session }) =>
      session.name !== undefined &&
      html`<form method="post" action="/console/logout">
        <button class="plain" title=${`Signed in as ${session.name}`}>Sign out</button>
      </form>`}<//
  >`

/** @param {{ faults: PolledFaults }} props */
const FaultRule = ({ faults }) => {
  const on = faults.answer?.body.items.filter(({ enabled }) => enabled) ?? []
  const switchOff = async (/** @type {string} */ name) => {
    await call("PUT", `/admin/faults/${encodeURIComponent(name)}`, { enabled: false }).catch(() => {})
    faults.reload()
  }
  return on.map(
    (fault) =>
      html`<div key=${fault.name} class="rule">
        ${faultSentence(fault, serverNow())}
        <button type="button" class="plain" onClick=${() => switchOff(fault.name)}>Switch off</button>
      </div>`,
  )
}

/** @param {{ overview: Polled<Overview> }} props */
const Verdict = ({ overview }) => {
  const [, tick] = useState(0)
  const paused = useStore(pausedAt)
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 1_000)
    return () => clearInterval(timer)
  }, [])
  const toggle = () => pausedAt.set(pausedAt.get() === undefined ? Date.now() : undefined)
  useShortcuts({ p: toggle })
  const summary = overview.answer && summaryOf(overview.answer.body)
  const title = summary === undefined ? "Galleria" : titleOf(summary)
  useEffect(() => {
    document.title = title
  }, [title])
  const verdict = summary === undefined ? { mark: "◌", tone: "ended", text: "Looking…" } : verdictOf(summary)
  return html`<div class="verdict ${verdict.tone}">
    <p><span class="mark" aria-hidden="true">${verdict.mark}</span> ${verdict.text}</p>
    <p class="muted">
      ${freshness(overview, paused)}
      <button type="button" class="plain" aria-pressed=${paused !== undefined} onClick=${toggle}>
        ${paused === undefined ? "Pause" : "Go on"}
      </button>
    </p>
  </div>`
}

/** @param {Polled<Overview>} overview @param {number | undefined} paused */
const freshness = ({ answer, failure, failedAt, nextAt }, paused) => {
  const now = Date.now()
  if (paused !== undefined) return `paused since ${clockOf(paused, now)}`
  if (failure !== undefined && failure.status === 401) return "signed out"
  if (failure !== undefined && failedAt !== undefined) {
    const next = Math.max(0, Math.round(((nextAt ?? now) - now) / 1_000))
    const asOf = answer === undefined ? "" : ` Below is as of ${clockOf(answer.at, now)}.`
    const what = failure.status === 0 ? "Connection lost" : `Refused (${failure.status})`
    return `${what} at ${clockOf(failedAt, now)}. Next try in ${next} s.${asOf}`
  }
  return answer === undefined ? "" : `live · checked ${spanOf(now - answer.at)} ago`
}

/** The login in place: what was typed in the view stays. */
const SignIn = () => {
  const isSignedIn = useStore(signedIn)
  const [fault, setFault] = useState("")
  if (isSignedIn) return null
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault()
    const form = /** @type {HTMLFormElement} */ (event.target)
    const given = new FormData(form)
    const fields = new URLSearchParams({ token: fieldOf(given, "token"), name: fieldOf(given, "name") })
    const answer = await fetch("/console/login", { method: "POST", body: fields, redirect: "manual" }).catch(
      () => undefined,
    )
    if (answer?.type === "opaqueredirect") return signedIn.set(true)
    setFault(
      answer === undefined
        ? "The server does not answer."
        : answer.status === 429
          ? `Too many wrong tokens. Try again in ${answer.headers.get("retry-after")} s.`
          : "This token is wrong.",
    )
  }
  return html`<${Dialog}
    title="You were signed out"
    onClose=${(/** @type {any} */ event) => event.currentTarget.showModal()}
  >
    <p>Sign in to go on; what you typed is still here.</p>
    <form onSubmit=${submit}>
      <label>Token <input name="token" type="password" required autocomplete="current-password" autofocus /></label>
      <label>Your name, for the list of actions <input name="name" maxlength="60" autocomplete="name" /></label>
      ${fault !== "" && html`<p class="fault" role="alert">${fault}</p>`}
      <p class="buttons"><button class="main">Sign in</button></p>
    </form>
  <//>`
}

const Shortcuts = () => {
  const [isOpen, setOpen] = useState(false)
  const areOn = useStore(keysAreOn) === "on"
  helpIsOpen.show = () => setOpen(true)
  useShortcuts({ "?": () => setOpen(true) })
  if (!isOpen) return null
  return html`<${Dialog} title="Keyboard shortcuts" onClose=${() => setOpen(false)}>
    <dl class="keys">
      <dt><kbd>/</kbd></dt>
      <dd>search</dd>
      <dt><kbd>g</kbd> then <kbd>o</kbd> <kbd>d</kbd> <kbd>e</kbd> <kbd>a</kbd> <kbd>t</kbd></dt>
      <dd>overview, dead letters, events, actions, try it</dd>
      <dt><kbd>j</kbd> <kbd>k</kbd></dt>
      <dd>next and previous row</dd>
      <dt><kbd>Enter</kbd></dt>
      <dd>open the row</dd>
      <dt><kbd>x</kbd></dt>
      <dd>select the row</dd>
      <dt><kbd>r</kbd> <kbd>d</kbd></dt>
      <dd>redrive, discard: opens the dialog</dd>
      <dt><kbd>p</kbd></dt>
      <dd>pause and go on</dd>
      <dt><kbd>u</kbd></dt>
      <dd>local time or UTC</dd>
      <dt><kbd>Esc</kbd></dt>
      <dd>close</dd>
    </dl>
    <p>
      <label
        ><input type="checkbox" checked=${areOn} onChange=${() => keysAreOn.set(areOn ? "off" : "on")} /> Use single-key
        shortcuts</label
      >
    </p>
    <form method="dialog" class="buttons"><button autofocus>Close</button></form>
  <//>`
}
