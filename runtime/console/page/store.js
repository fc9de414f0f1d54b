import { useEffect, useState } from "preact/hooks"

/**
 * A value that components share.
 *
 * @template T
 * @typedef {{ get: () => T, set: (value: T) => void, subscribe: (changed: () => void) => () => void }} Store
 */

/**
 * @template T
 * @param {T} initial
 * @returns {Store<T>}
 */
export const makeStore = (initial) => {
  let value = initial
  /** @type {Set<() => void>} */
  const listeners = new Set()
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return
      value = next
      for (const changed of listeners) changed()
    },
    subscribe: (changed) => {
      listeners.add(changed)
      return () => listeners.delete(changed)
    },
  }
}

/**
 * The value of a store, in a component that renders again when it changes.
 *
 * @template T
 * @param {Store<T>} store
 * @returns {T}
 */
export const useStore = (store) => {
  const [, render] = useState({})
  useEffect(() => {
    const changed = () => render({})
    // The value may have changed between the render and this effect.
    changed()
    return store.subscribe(changed)
  }, [store])
  return store.get()
}

/**
 * A value that this browser keeps, as text.
 *
 * @param {string} name
 * @param {string} initial
 * @returns {Store<string>}
 */
export const makeKept = (name, initial) => {
  const store = makeStore(globalThis.localStorage?.getItem(name) ?? initial)
  store.subscribe(() => globalThis.localStorage?.setItem(name, store.get()))
  return store
}
