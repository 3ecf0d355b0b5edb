"""Tables of campaigns: plans and how they stand."""

from __future__ import annotations

from typing import Any

from flashsim_prod.cli.show import console, counted, table
from flashsim_prod.cli.terminal import Terminal
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration
from flashsim_prod.production.campaigns.plan import Action, CampaignPlan, Row
from flashsim_prod.production.campaigns.status import CampaignStatus

#: notes below a plan, at most
_REMARKS = 12


def show_plan(plan: CampaignPlan, shown: Terminal) -> None:
    """Print what a campaign comes to, a line each, and all together."""
    numbers = ("EVENTS", "JOBS", "TIME", "SIZE", "kWh")
    made = table("WHAT", "REQUEST", "SITE", *numbers, "STATE", right=numbers, whole=("WHAT", "STATE"))
    for row in plan.rows:
        made.add_row(
            row.action.value,
            row.name,
            row.site,
            format_count(row.events),
            format_count(row.jobs) if row.plan else "-",
            format_duration(row.seconds) if row.seconds else "-",
            format_bytes(row.bytes),
            _kwh(row.energy_kwh),
            row.state.value if row.state else "-",
        )
    made.add_section()
    made.add_row(
        "all",
        counted(len(plan.rows), "sample"),
        "",
        format_count(plan.events),
        format_count(sum(row.jobs for row in plan.made)),
        format_duration(plan.seconds),
        format_bytes(plan.bytes),
        _kwh(plan.energy_kwh),
        "",
    )
    shown.print(made)
    remarked = [row for row in plan.rows if row.remark]
    for row in remarked[:_REMARKS]:
        shown.print(f"note: {row.name}: {row.remark}", style="yellow", markup=False, soft_wrap=True)
    if len(remarked) > _REMARKS:
        more = counted(len(remarked) - _REMARKS, "note")
        shown.print(
            f"and {more} more, all of them in: campaign FILE --dry-run --json", style="yellow", markup=False
        )
    shown.print(_summary(plan), markup=False, soft_wrap=True)


def _summary(plan: CampaignPlan) -> str:
    new = sum(row.action is Action.NEW for row in plan.rows)
    grown = sum(row.action is Action.EXTEND for row in plan.rows)
    kept = len(plan.rows) - new - grown
    return (
        f"campaign {plan.campaign.name}: {new} new, {grown} to extend, {kept} there already and not changed; "
        "sites at the same time, at each of them one request after another"
    )


def plan_figures(plan: CampaignPlan) -> dict[str, Any]:
    """What ``--json`` prints of a plan."""
    return {
        "campaign": plan.campaign.name,
        "requests": [_row_figures(row) for row in plan.rows],
        "events": plan.events,
        "jobs": sum(row.jobs for row in plan.made),
        "seconds": plan.seconds,
        "bytes": plan.bytes,
        "energy_kwh": plan.energy_kwh,
    }


def _row_figures(row: Row) -> dict[str, Any]:
    return {
        "action": row.action.value,
        "name": row.name,
        "entry": row.wanted.entry if row.wanted else None,
        "dataset": str(row.plan.request.dataset) if row.plan else None,
        "site": row.site,
        "priority": row.priority,
        "events": row.events,
        "jobs": row.jobs,
        "seconds": row.seconds,
        "bytes": row.bytes,
        "energy_kwh": row.energy_kwh,
        "state": row.state.value if row.state else None,
        "requests": [line.name for line in row.lines],
        "remark": row.remark,
    }


def _kwh(energy: float | None) -> str:
    return "-" if energy is None else f"{energy:.3g}"


def print_campaigns(found: list[CampaignStatus]) -> None:
    """A line for each campaign."""
    if not found:
        print("no campaigns yet; the first one: flashsim-prod campaign new NAME")
        return
    numbers = ("%", "REQUESTS", "EVENTS")
    made = table("CAMPAIGN", "STATE", *numbers, "ETA", right=numbers, whole=("ETA",))
    for one in found:
        made.add_row(
            one.name,
            one.state,
            f"{one.percent:.0f}",
            format_count(len(one.lines)),
            format_count(one.events),
            format_duration(one.eta_s) if one.eta_s is not None else "-",
        )
    console().print(made)


def print_status(found: CampaignStatus) -> None:
    """All about one campaign."""
    shown = console()
    left = f"; {format_duration(found.eta_s)} left" if found.eta_s is not None else ""
    shown.print(
        f"campaign {found.name}: {found.state}, {found.percent:.0f} % of {format_count(found.events)} "
        f"events, {format_bytes(found.bytes)} so far{left}",
        markup=False,
        soft_wrap=True,
    )
    made = table(
        "X", "STATE", "%S", "REQUEST", "EVENTS", "SITE", "ETA", right=("%S", "EVENTS"), whole=("ETA",)
    )
    for line in found.lines:
        made.add_row(
            line.flag,
            line.state.value,
            f"{line.percent:.0f}",
            line.name,
            format_count(line.events),
            line.site,
            format_duration(line.eta_s) if line.eta_s is not None else "-",
        )
    shown.print(made)
    for name, one in found.failures.items():
        shown.print(
            f"failed: {name}: {one.error} (log: {one.log})", style="red", markup=False, soft_wrap=True
        )
    if found.missing:
        shown.print(
            f"not ordered yet: {'; '.join(found.missing)}; "
            f"to go on: flashsim-prod campaign retry {found.name}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
