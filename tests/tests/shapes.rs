//! Stacks of other shapes: several networks, a named volume, another user, dependencies.

use scenarios::stack::{Builder, Stack};

use crate::common::{compose_recreates_nothing, light_load, lost_nothing, swap_to};

#[test]
fn a_candidate_is_in_all_networks_of_its_service() {
    let stack = Stack::builder()
        .app_line("networks: [ front, back ]")
        .compose("    depends_on:\n      - app\n", "    depends_on:\n      - app\n    networks: [ front ]\n")
        .compose("volumes:\n  data: {}\n", "networks:\n  front: {}\n  back: {}\n\nvolumes:\n  data: {}\n")
        .up();
    let before = stack.networks(&stack.containers("app")[0]);
    assert_eq!(before.len(), 2, "{before:?}");
    swaps(&stack);
    assert_eq!(stack.networks(&stack.containers("app")[0]), before);
}

#[test]
fn the_upstream_folder_may_be_a_named_volume() {
    let stack = named_volume(Stack::builder()).up();
    swaps(&stack);
    // What is in the volume outlives the container of nginx.
    stack.compose(&["up", "-d", "--force-recreate", "--no-deps", "nginx"]);
    scenarios::stack::serves(&stack, "v2");
}

#[test]
fn nginx_may_run_as_another_user() {
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path /tmp/{name};\n"))
        .concat();
    let stack = Stack::builder()
        .compose("    stop_signal: SIGQUIT\n", "    stop_signal: SIGQUIT\n    user: \"33:33\"\n")
        .nginx("pid /run/nginx.pid;", "pid /tmp/nginx.pid;")
        .nginx("    access_log off;\n", &format!("    access_log off;\n{temp}"))
        .up();
    swaps(&stack);
}

#[test]
fn what_a_service_depends_on_is_left_alone() {
    let stack = Stack::builder()
        .app_line("depends_on: [ cache ]")
        .compose(
            "\nvolumes:\n",
            "\n  cache:\n    image: [project]-app\n    command: [\"sleep\", \"infinity\"]\n\nvolumes:\n",
        )
        .up();
    let before = stack.containers("cache");
    let running = light_load(&stack);
    swap_to(&stack, "v2");
    lost_nothing(running);
    assert_eq!(stack.containers("cache"), before);
    assert_eq!(stack.containers("app").len(), 1);
}

fn named_volume(builder: Builder) -> Builder {
    builder
        .compose("./nginx/swap:/etc/nginx/swap", "upstreams:/etc/nginx/swap")
        .compose("volumes:\n  data: {}\n", "volumes:\n  data: {}\n  upstreams: {}\n")
}

/// Swaps to v2 under a light load, and checks that nothing was lost and compose is content.
#[track_caller]
fn swaps(stack: &Stack) {
    let running = light_load(stack);
    swap_to(stack, "v2");
    lost_nothing(running);
    assert_eq!(stack.containers("app").len(), 1);
    compose_recreates_nothing(stack);
}
