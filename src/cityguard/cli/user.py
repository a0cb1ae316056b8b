"""user: accounts of the console."""

from __future__ import annotations

from typing import Annotated

import typer

from cityguard.cli.output import pick, say, table
from cityguard.cli.state import actor, application

app = typer.Typer(no_args_is_help=True, help="账号 / Accounts")
Name = Annotated[str, typer.Argument(help="账号 / account")]


@app.command()
def add(name: Name, role: Annotated[str, typer.Option("--role", help="admin | analyst | auditor | operator")]) -> None:
    """新建账号，打印一次性口令 / Create an account; its one-time password is printed once."""
    from cityguard.web import auth

    with application() as one:
        one.audit(actor(), "user.add", name, role)
        password = auth.add_user(one, name, role)
    typer.echo(password)


@app.command("list")
def list_() -> None:
    """列出账号 / List accounts."""
    from cityguard.web import auth

    with application() as one:
        found = auth.list_users(one)
    table(
        pick("账号", "Accounts"),
        [pick("账号", "name"), pick("角色", "role"), pick("状态", "state")],
        ((u.name, u.role, pick("停用", "disabled") if u.disabled else "") for u in found),
    )


@app.command()
def reset(name: Name) -> None:
    """重置口令，打印一次性口令 / Reset the password; a one-time password is printed once."""
    from cityguard.web import auth

    with application() as one:
        one.audit(actor(), "user.reset", name)
        password = auth.reset_password(one, name)
    typer.echo(password)


@app.command()
def enable(name: Name) -> None:
    """恢复停用的账号 / Let a disabled account in again."""
    from cityguard.web import auth

    with application() as one:
        one.audit(actor(), "user.enable", name)
        auth.disable(one, name, disabled=False)
    say(f"已启用 {name}", f"enabled: {name}")


@app.command()
def token(
    name: Name,
    label: Annotated[str, typer.Option("--label", help="用途 / what it is for")],
    role: Annotated[str, typer.Option("--role", help="令牌的角色 / role of the token")],
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="有效天数 / days it is valid")] = 30,
) -> None:
    """签发接口令牌，仅显示一次 / Issue an API token; it is printed once."""
    from cityguard.web import auth

    with application() as one:
        one.audit(actor(), "user.token", name, f"{label}, {role}, {days} days")
        made = auth.add_token(one, name, label, role, days)
    typer.echo(made)


@app.command()
def password(name: Name) -> None:
    """自行设定口令（交互输入） / Set a password of one's own, typed at a prompt."""
    from contextlib import closing

    from cityguard.web import auth

    typed = typer.prompt(pick("新口令", "new password"), hide_input=True, confirmation_prompt=True)
    with application() as one:
        one.audit(actor(), "user.password", name)
        with closing(auth.open_accounts(one.settings)) as accounts:
            accounts.set_password(name, typed, must_change=False)
    say(f"{name}：口令已设定", f"{name}: password set")


@app.command()
def disable(name: Name) -> None:
    """停用账号，结束其会话 / Disable an account and end its sessions."""
    from cityguard.web import auth

    with application() as one:
        one.audit(actor(), "user.disable", name)
        auth.disable(one, name)
    say(f"已停用 {name}", f"disabled: {name}")
