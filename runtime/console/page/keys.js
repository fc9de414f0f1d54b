import { useEffect } from "preact/hooks"
import { go, linkTo } from "./address.js"
import { makeKept } from "./store.js"

/** @import { View } from "./links.js" */

/** "on" or "off": who types by voice has to be able to switch single keys off (WCAG 2.1.4). */
export const keysAreOn = makeKept("keys", "on")

/** @type {Map<string, () => void>} */
const shortcuts = new Map()

/** @type {Readonly<Record<string, View>>} */
const views = { o: "overview", d: "dead-letters", e: "events", a: "actions", t: "try" }

/**
 * The keys of a component while it is shown.
 *
 * @param {Readonly<Record<string, () => void>>} keys
 */
export const useShortcuts = (keys) => {
  useEffect(() => {
    for (const [key, act] of Object.entries(keys)) shortcuts.set(key, act)
    return () => {
      for (const [key, act] of Object.entries(keys)) if (shortcuts.get(key) === act) shortcuts.delete(key)
    }
  })
}

/** Moves the focus to the link of the next or previous row. @param {number} by */
const moveRow = (by) => {
  const links = Array.from(document.querySelectorAll("[data-row] a[id]"))
  const at = links.findIndex((link) => link === document.activeElement)
  const next = links[at === -1 ? (by > 0 ? 0 : links.length - 1) : at + by]
  if (next instanceof HTMLElement) next.focus()
}

/** Selects the row of the focused link, or not any more. */
const selectRow = () => {
  const box = document.activeElement?.closest("[data-row]")?.querySelector('input[type="checkbox"]')
  if (box instanceof HTMLElement) box.click()
}

/** Presses the first button of the view that has this key. @param {string} key */
const press = (key) => {
  const button = document.querySelector(`main [data-key="${key}"]`)
  if (button instanceof HTMLElement) button.click()
}

/** Handles the keys of the whole page; returns how to stop. */
export const handleKeys = () => {
  let isGoing = false
  /** @param {KeyboardEvent} event */
  const handle = (event) => {
    const { key, target } = event
    if (keysAreOn.get() !== "on" || event.ctrlKey || event.metaKey || event.altKey) return
    if (target instanceof Element && target.closest("input, textarea, select, dialog, [contenteditable]") !== null)
      return
    const view = isGoing ? views[key] : undefined
    isGoing = key === "g"
    if (view !== undefined) go(linkTo(view))
    else if (key === "j") moveRow(1)
    else if (key === "k") moveRow(-1)
    else if (shortcuts.has(key)) shortcuts.get(key)?.()
    else if (key === "x") selectRow()
    else if (key === "r" || key === "d") press(key)
    else return
    event.preventDefault()
  }
  document.addEventListener("keydown", handle)
  return () => document.removeEventListener("keydown", handle)
}
