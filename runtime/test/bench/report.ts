import type { Finding } from "./Case.ts"

/** A finding with what is made of it. */
export interface Line extends Finding {
  readonly verdict: string
}

/** Whether the bar is met, and if it is missed, by what share of it. */
export const judge = (finding: Finding): Line => {
  const { value, baseline, bar } = finding
  const ratio = finding.ratio ?? (baseline === undefined ? undefined : value / baseline.value)
  const judged = { ...finding, ...(ratio === undefined ? {} : { ratio }) }
  if (bar === undefined) return { ...judged, verdict: "" }
  const found = bar.of === "value" ? value : ratio!
  const short = "least" in bar ? (bar.least - found) / bar.least : (found - bar.most) / bar.most
  const missed = short > 1 ? `missed, ${(1 + short).toFixed(1)} times as much` : `missed by ${Math.ceil(short * 100)} %`
  return { ...judged, verdict: short <= 0 ? "met" : missed }
}

const numberOf = (value: number) => {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

const amountOf = (value: number, unit: string) => `${numberOf(value)}${unit.startsWith("/") ? "" : " "}${unit}`

const cellsOf = ({ name, unit, value, baseline, ratio, bar, verdict }: Line): ReadonlyArray<string> => [
  name,
  amountOf(value, unit),
  baseline === undefined ? "" : `${amountOf(baseline.value, unit)} ${baseline.what}`,
  ratio === undefined ? "" : numberOf(ratio),
  bar === undefined
    ? ""
    : `${"least" in bar ? `≥ ${bar.least}` : `≤ ${bar.most}`}${bar.of === "value" ? ` ${unit}` : ""}`,
  verdict,
]

/** The lines as a table, with how each number was made below it. */
export const tableOf = (lines: ReadonlyArray<Line>): string => {
  const rows = [["name", "value", "baseline", "ratio", "bar", "verdict"], ...lines.map(cellsOf)]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: ReadonlyArray<string>) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd()
  const notes = lines.map(({ name, how }) => `${name}:\n  ${how}`)
  return [
    line(rows[0]!),
    widths.map((width) => "─".repeat(width)).join("  "),
    ...rows.slice(1).map(line),
    "",
    ...notes,
  ].join("\n")
}
