/** The modules that tests of the delivery itself run: their orders need no step, and end by two hops of events. */
export const spine: ReadonlyArray<string> = ["user", "order"]
