import { addressOf, linkTo } from "./links.js"
import { makeStore } from "./store.js"

export { linkTo } from "./links.js"

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
    restore(state, 60)
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
  const focused = state?.focus ? document.querySelector(`#${CSS.escape(state.focus)}`) : null
  const isThere = document.documentElement.scrollHeight >= top + innerHeight && (!state?.focus || focused !== null)
  if (!isThere && tries > 0) {
    setTimeout(() => restore(state, tries - 1), 50)
    return
  }
  scrollTo(0, top)
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true })
}
