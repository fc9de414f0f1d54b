import { explore, type Found, type Model } from "./explore.ts"

/** One way to build a part of the protocol: the right one, or one with a mistake. */
export interface Variant {
  /** The part of the protocol: the title of a section of DELIVERY.md. */
  readonly part: string
  /** What it does, in words. DELIVERY.md calls it so. */
  readonly name: string
  readonly expected: "holds" | "breaks"
  /** Takes well under a second: `npm test` looks at it. */
  readonly isQuick: boolean
  readonly look: () => Found
}

/** Variants of one part, each a change of the options of its model. */
export const variantsOf =
  <Options, S>(part: string, right: Options, model: (options: Options) => Model<S>) =>
  (
    expected: Variant["expected"],
    name: string,
    change: Partial<Options>,
    { isSlow = false }: { readonly isSlow?: boolean } = {},
  ): Variant => ({
    part,
    name,
    expected,
    isQuick: !isSlow,
    look: () => explore(model({ ...right, ...change })),
  })
