import { html } from "htm/preact"
import { useRef, useState } from "preact/hooks"
import { countOf } from "./words.js"

/**
 * Splits items into those that are shown and new ones that wait, so that no row moves away under a pointer.
 *
 * @template T
 * @param {ReadonlyArray<T>} items
 * @param {(item: T) => string} keyOf
 * @param {ReadonlySet<string>} known the keys that are shown; none before the first look
 * @param {boolean} isUsed whether the list is pointed at or has the focus
 * @returns {{ shown: ReadonlyArray<T>, fresh: number }}
 */
export const splitOf = (items, keyOf, known, isUsed) => {
  if (!isUsed || known.size === 0) return { shown: items, fresh: 0 }
  const shown = items.filter((item) => known.has(keyOf(item)))
  return { shown, fresh: items.length - shown.length }
}

/**
 * The items of a list that is in use without the new ones, and the line that shows those. `ref` belongs to the element
 * around both.
 *
 * @template T
 * @param {ReadonlyArray<T>} items
 * @param {(item: T) => string} keyOf
 */
export const useSteady = (items, keyOf) => {
  const ref = useRef(/** @type {HTMLElement | null} */ (null))
  const known = useRef(/** @type {ReadonlySet<string>} */ (new Set()))
  const [, render] = useState({})
  const isUsed = ref.current?.matches(":hover, :focus-within") ?? false
  const { shown, fresh } = splitOf(items, keyOf, known.current, isUsed)
  known.current = new Set(shown.map(keyOf))
  const show = () => {
    known.current = new Set()
    render({})
  }
  const line =
    fresh === 0
      ? null
      : html`<p class="fresh"><button type="button" onClick=${show}>${countOf(fresh, "new one")} ▲ show</button></p>`
  return { ref, shown, line }
}
