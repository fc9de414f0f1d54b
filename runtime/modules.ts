import { inventory } from "../modules/inventory/module.ts"
import { notification } from "../modules/notification/module.ts"
import { order } from "../modules/order/module.ts"
import { payment } from "../modules/payment/module.ts"
import { user } from "../modules/user/module.ts"
import type { Module } from "./module/Module.ts"

/** Every module that this program can run. A module with an unmet requirement does not compile here. */
export const modules = { user, order, payment, inventory, notification } satisfies Record<string, Module>
