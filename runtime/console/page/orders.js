import { html } from "htm/preact"
import { useState } from "preact/hooks"
import { address, linkTo } from "./address.js"
import { usePoll } from "./net.js"
import { Empty, Pending, State, Time } from "./parts.js"
import { useSteady } from "./steady.js"
import { useStore } from "./store.js"

/** @import { Polled } from "./net.js" */
/** @import { Listed, ListedOrder } from "../answers.ts" */

export const OrdersView = () => {
  const { query } = useStore(address)
  const [cursor, setCursor] = useState("")
  const path = `/console/api/orders?${new URLSearchParams({ limit: "50", ...query, ...(cursor === "" ? {} : { cursor }) })}`
  /** @type {Polled<Listed<ListedOrder>>} */
  const orders = usePoll(path, 5_000)
  const steady = useSteady(orders.answer?.body.items ?? [], ({ id }) => String(id))
  return html`<h1>Orders${query.user_id === undefined ? "" : ` of user ${query.user_id}`}</h1>
    ${
      orders.answer === undefined
        ? html`<${Pending} polled=${orders} />`
        : orders.answer.body.items.length === 0
          ? html`<${Empty}>No orders match.<//>`
          : html`<div ref=${steady.ref}>
              ${steady.line}
              <table class="grid">
                <thead>
                  <tr>
                    <th scope="col">order</th>
                    <th scope="col">user</th>
                    <th scope="col">status</th>
                    <th scope="col" class="number">amount</th>
                    <th scope="col">created</th>
                  </tr>
                </thead>
                <tbody>
                  ${steady.shown.map(
                    ({ id, user_id, status, amount, created_at }) =>
                      html`<tr key=${id} data-row>
                        <th scope="row"><a id=${`order-${id}`} href=${linkTo("order", id)}>${id}</a></th>
                        <td data-label="user"><a href=${linkTo("orders", "", { user_id })}>${user_id}</a></td>
                        <td data-label="status"><${State} name=${status} /></td>
                        <td data-label="amount" class="number">${amount}</td>
                        <td data-label="created"><${Time} at=${created_at} /></td>
                      </tr>`,
                  )}
                </tbody>
              </table>
            </div>`
    }
    <p class="buttons">
      ${cursor !== "" && html`<button type="button" onClick=${() => setCursor("")}>Newest</button>`}
      ${
        orders.answer?.body.next_cursor &&
        html`<button type="button" onClick=${() => setCursor(orders.answer?.body.next_cursor ?? "")}>Older</button>`
      }
    </p>`
}
