/** A rule of the runtime, broken on purpose by one small change, and the test that must notice. */
export interface Mutant {
  /** What is wrong, in a few words: `--only` looks for it. */
  readonly name: string
  /** The file that is changed, by its path from the project's folder. */
  readonly file: string
  /** The text to replace. It must be in the file exactly once. */
  readonly find: string
  readonly replace: string
  /** What follows from it, in a sentence. */
  readonly breaks: string
  /** The file of the test that must fail. */
  readonly test: string
  /** The test that must fail: its `describe`s and its name, or a part of that, as in `Inbox (embedded) > skips`. */
  readonly fails: string
}

/** The text with the change; undefined where the text to replace is not there exactly once. */
export const patched = (text: string, { find, replace }: Pick<Mutant, "find" | "replace">): string | undefined => {
  const parts = text.split(find)
  return parts.length === 2 && find !== replace ? parts.join(replace) : undefined
}

/** The names of the `describe`s, and of the test. */
export const namesIn = ({ fails }: Pick<Mutant, "fails">): ReadonlyArray<string> => fails.split(" > ")

/** How the test is named for vitest's option `-t`. */
export const patternOf = ({ fails }: Pick<Mutant, "fails">): string => fails.replace(/[\\^$.*+?()[\]{}|]/gu, "\\$&")
