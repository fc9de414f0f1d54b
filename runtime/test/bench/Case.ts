/** What a finding is held to: at least, or at most, of the ratio if there is a baseline, else of the value. */
export type Bar = { readonly least: number } | { readonly most: number }

/** One number, what it is compared with, and what was asked of it. */
export interface Finding {
  readonly name: string
  readonly unit: string
  readonly value: number
  /** What the value is compared with, measured in the same run. */
  readonly baseline?: { readonly what: string; readonly value: number }
  /** `value` ÷ `baseline`, unless the rounds say it better. */
  readonly ratio?: number
  /** Without one the finding is for information. */
  readonly bar?: Bar & { readonly of: "value" | "ratio" }
  /** How the number was made. */
  readonly how: string
}

export interface Context {
  /** Reports progress. */
  readonly say: (line: string) => void
  /** Where the servers that the cases start leave CPU profiles; undefined: nowhere. */
  readonly profiles: string | undefined
}

/** Something that is measured by itself: it starts what it needs and leaves nothing behind. */
export interface Case {
  readonly name: string
  readonly run: (context: Context) => Promise<ReadonlyArray<Finding>>
}
