/** The result of one step. */
export interface TableRow {
  readonly part: string
  readonly step: string
  readonly expected: string
  readonly seen: string
  readonly millis: number
  readonly isRight: boolean
}

const headings = { part: "", step: "step", expected: "expected", seen: "seen", millis: "ms" }
const widths = { part: 32, step: 14, expected: 46, seen: 46, millis: 7 }

const line = (mark: string, cells: Readonly<Record<keyof typeof widths, string>>) =>
  [
    mark,
    cells.part.padEnd(widths.part),
    cells.step.padEnd(widths.step),
    cells.expected.padEnd(widths.expected),
    cells.seen.padEnd(widths.seen),
    cells.millis.padStart(widths.millis),
  ].join(" ")

export const heading = line(" ", headings)

/** The lines of one part; only the first has its name. */
export const linesOf = (rows: ReadonlyArray<TableRow>): ReadonlyArray<string> =>
  rows.map((row, index) =>
    line(row.isRight ? "✓" : "✗", {
      ...row,
      part: index === 0 ? row.part : "",
      millis: String(Math.round(row.millis)),
    }),
  )

/** The closing line. */
export const verdictOf = (rows: ReadonlyArray<TableRow>): string => {
  const wrong = rows.filter(({ isRight }) => !isRight).length
  return wrong === 0 ? `all ${rows.length} steps are right` : `${wrong} of ${rows.length} steps are wrong`
}
