import { Context } from "effect"

/** A fault that can be switched on, to try things out. */
export interface FaultState {
  /** `relay.<module>`, `reaction.<name>`, `provider`, `mail` or `events`. */
  readonly name: string
  /** Since when it is on (Unix ms); undefined: it is off. */
  readonly since: number | undefined
  /** The only user whose events fail, for the fault of a reaction; undefined: all. */
  readonly userId: number | undefined
}

export interface FaultRegistry {
  /** Adds a fault, switched off, unless there is one of this name. Returns whether it is on, for an event of this key. */
  readonly add: (name: string) => (key?: string | null) => boolean
  /** By name. */
  readonly list: () => ReadonlyArray<FaultState>
  /** Replaces the fault of this name, and returns it; undefined when there is none. */
  readonly set: (fault: FaultState) => FaultState | undefined
}

/**
 * The fault switches of this process; undefined without `FAULTS=on`. What can fail adds its fault when it is built, and is
 * built without one where there are no switches.
 */
export const Faults = Context.Reference<FaultRegistry | undefined>("galleria/Faults", { defaultValue: () => undefined })

/** The error of what fails because a fault is on. */
export const faultText = (name: string) => `the fault ${name} is switched on`

export const makeFaults = (): FaultRegistry => {
  const faults = new Map<string, FaultState>()
  return {
    add: (name) => {
      if (!faults.has(name)) faults.set(name, { name, since: undefined, userId: undefined })
      return (key) => {
        const { since, userId } = faults.get(name)!
        return since !== undefined && (userId === undefined || String(userId) === key)
      }
    },
    list: () => [...faults.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    set: (fault) => {
      if (!faults.has(fault.name)) return undefined
      faults.set(fault.name, fault)
      return fault
    },
  }
}
