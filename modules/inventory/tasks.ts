import { Schedule } from "effect"
import { task } from "../../runtime/module/Task.ts"
import { expireHold } from "./HoldStore.ts"
import { Inventory } from "./Inventory.ts"

export const tasks = [
  task({
    name: expireHold,
    // The module usually catches up within moments, but not while the log is unavailable or an event of the order is parked.
    retry: Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("15 seconds")]),
    begin: (items) => Inventory.use((inventory) => inventory.overdue(items)),
    call: (hold: { readonly order_id: number; readonly user_id: number }) =>
      Inventory.use((inventory) => inventory.endsOf(hold)),
    end: (results) => Inventory.use((inventory) => inventory.expire(results)),
  }),
]
