/** The text of a defect, which may be any value. For an error without a readable message it is the error's name. */
export const textOf = (defect: unknown): string => {
  try {
    const text = String(defect instanceof Error ? defect.message : defect)
    return text === "" ? nameOf(defect) : text
  } catch (failure) {
    return `${nameOf(defect)}, whose message cannot be read${failure instanceof Error ? `: ${failure.message}` : ""}`
  }
}

const nameOf = (defect: unknown): string => {
  try {
    const { name, constructor } = defect as Error
    return name !== "Error" && typeof name === "string" && name !== "" ? name : constructor.name || "an error"
  } catch {
    return "an error without a name"
  }
}

/** The text of an error for storage and display: one line of at most 2,000 characters. */
export const clean = (text: string): string =>
  text
    .slice(0, 2_000)
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f]+/gu, " ")
