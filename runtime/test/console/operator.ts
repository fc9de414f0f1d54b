import type { Page } from "playwright-core"

// What an operator does on the page, in more than one story.

/** Places an order of a user, and returns its id once its journey is shown. */
export const placeOrder = async (page: Page, user: string, path = "/console/try") => {
  await page.goto(path)
  await page.getByLabel("user", { exact: true }).fill(user)
  await page.getByRole("button", { name: "Place and follow" }).click()
  await page.getByRole("heading", { name: /^Order \d+/u }).waitFor()
  return Number(/\d+$/u.exec(new URL(page.url()).pathname))
}

/** Waits until the journey that is shown has come to its end, with what each module did. */
export const waitForLanes = async (page: Page) => {
  await page.locator(".head .state", { hasText: "processed" }).waitFor()
  for (const mark of ["order_created", "hold taken", "charge successful", "mail sent", "order_processed"]) {
    await page.locator(".timeline").getByText(mark).first().waitFor()
  }
}

/** Goes to a button by Tab alone, and presses it. */
export const press = async (page: Page, name: string) => {
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press("Tab")
    if ((await page.evaluate<string>("document.activeElement.textContent.trim()")) === name) break
  }
  await page.keyboard.press("Enter")
}

/** Opens the dialog of the first redrive on the page by its key, and confirms it. */
export const redriveByKeyboard = async (page: Page, name: string) => {
  await page.keyboard.press("r")
  await page.getByRole("dialog", { name }).waitFor()
  await page.keyboard.press("Tab")
  await page.keyboard.press("Enter")
}
