import { makeStore } from "./store.js"

/**
 * @typedef {"overview" | "orders" | "order" | "dead-letters" | "dead-letter" | "events" | "actions" | "try" | "unknown"} View
 * @typedef {{ view: View, id: string, query: Readonly<Record<string, string>> }} Address
 */

/** @type {ReadonlyArray<readonly [RegExp, View]>} */
const views = [
  [/^\/console\/?$/u, "overview"],
  [/^\/console\/orders\/?$/u, "orders"],
  [/^\/console\/orders\/(\d{1,16})$/u, "order"],
  [/^\/console\/dead-letters\/?$/u, "dead-letters"],
  [/^\/console\/dead-letters\/([0-9a-f-]{36})$/u, "dead-letter"],
  [/^\/console\/events\/?$/u, "events"],
  [/^\/console\/actions\/?$/u, "actions"],
  [/^\/console\/try\/?$/u, "try"],
]

/** @type {Readonly<Record<string, string>>} */
const paths = {
  overview: "/console",
  orders: "/console/orders",
  order: "/console/orders/",
  "dead-letters": "/console/dead-letters",
  "dead-letter": "/console/dead-letters/",
  events: "/console/events",
  actions: "/console/actions",
  try: "/console/try",
}

/**
 * The view that an address shows.
 *
 * @param {string} path
 * @param {string} search
 * @returns {Address}
 */
export const addressOf = (path, search) => {
  const query = Object.fromEntries(new URLSearchParams(search))
  for (const [pattern, view] of views) {
    const match = pattern.exec(path)
    if (match !== null) return { view, id: match[1] ?? "", query }
  }
  return { view: "unknown", id: "", query }
}

/**
 * The address of a view. All links of the page are made here, so that no foreign text becomes one.
 *
 * @param {View} view
 * @param {string | number} [id]
 * @param {Readonly<Record<string, string | number | undefined>>} [query]
 */
export const linkTo = (view, id = "", query = {}) => {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [[name, String(value)]],
  )
  const path = `${paths[view]}${encodeURIComponent(String(id))}`
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`
}

/** The address that is shown. */
export const address = makeStore(addressOf(location.pathname, location.search))

const show = () => address.set(addressOf(location.pathname, location.search))

/**
 * Goes to an address of the console; `replace` leaves no entry to go back to, as while one types.
 *
 * @param {string} href
 * @param {{ replace?: boolean }} [options]
 */
export const go = (href, { replace = false } = {}) => {
  if (href === `${location.pathname}${location.search}`) return
  if (replace) history.replaceState(history.state, "", href)
  else {
    history.replaceState({ top: scrollY, focus: document.activeElement?.id }, "", location.href)
    history.pushState(null, "", href)
  }
  show()
  if (!replace) scrollTo(0, 0)
}

/**
 * The address of this view with other parameters.
 *
 * @param {Readonly<Record<string, string | number | undefined>>} change
 */
export const withParameters = (change) => {
  const { view, id, query } = address.get()
  return linkTo(view, id, { ...query, ...change })
}

/** Follows links within the console, and the back button, without loading the page again. */
export const followLinks = () => {
  history.scrollRestoration = "manual"
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return
    const link = event.target instanceof Element ? event.target.closest("a") : null
    if (!(link instanceof HTMLAnchorElement) || link.origin !== location.origin || link.target !== "") return
    if (!/^\/console(?:\/|$)/u.test(link.pathname)) return
    event.preventDefault()
    go(`${link.pathname}${link.search}`)
  })
  addEventListener("popstate", ({ state }) => {
    show()
    restore(state, 20)
  })
}

/**
 * Scrolls and focuses as before, once the view has its content again.
 *
 * @param {{ top?: number, focus?: string } | null} state
 * @param {number} tries
 */
const restore = (state, tries) => {
  const top = state?.top ?? 0
  if (tries > 0 && document.documentElement.scrollHeight < top + innerHeight) {
    setTimeout(() => restore(state, tries - 1), 50)
    return
  }
  scrollTo(0, top)
  const focused = state?.focus ? document.querySelector(`#${CSS.escape(state.focus)}`) : null
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true })
}
