#include <stdio.h>
#include <stdlib.h>

struct node {
    int value;
    struct node *next;
};

/* Puts a value before the list. */
static struct node *push(struct node *next, int value)
{
    struct node *node = malloc(sizeof *node);
    if (!node)
        abort();
    node->value = value;
    node->next = next;
    return node;
}

int main(void)
{
    struct node *list = NULL;
    for (int i = 0; i < 3; i++)
        list = push(list, i);
    for (struct node *node = list; node; node = node->next)
        printf("%d\n", node->value);
    return 0;
}
